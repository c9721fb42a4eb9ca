"""What people ask, remembered."""

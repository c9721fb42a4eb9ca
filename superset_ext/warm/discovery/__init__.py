"""What pages ask, seen in a browser."""

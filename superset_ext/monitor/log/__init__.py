"""What the request's path leaves in the log."""

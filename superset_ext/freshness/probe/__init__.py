"""Questions to sources on a schedule."""

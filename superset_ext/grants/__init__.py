"""An answer that was given to this identity for this very request, given again before Superset's view runs."""

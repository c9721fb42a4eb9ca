"""What the log says should be set otherwise: a file for each group of kinds, and what they share."""

"""What the star import makes of the config that it stands in: what is kept, what is added to, what is replaced."""

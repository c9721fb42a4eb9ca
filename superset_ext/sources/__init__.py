"""How the databases that charts read from are reached."""

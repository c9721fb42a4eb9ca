"""What servers and sources say once a minute."""

"""What the source itself needs: statistics, vacuum, room, locks, settings."""

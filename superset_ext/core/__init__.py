"""What every other folder may use: the log database, clocks, forks, warnings."""

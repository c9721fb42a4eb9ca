"""Probes: questions to sources on a schedule, whose answer changes when the data does."""

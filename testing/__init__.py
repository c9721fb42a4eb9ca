"""Servers, browser and charts for tests and benches alike."""

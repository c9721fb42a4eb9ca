"""Measurements beside stock Superset: ratios that hold on any machine, and JSON to keep."""

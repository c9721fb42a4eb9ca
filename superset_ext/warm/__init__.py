"""Warming: asking beforehand what browsers are going to ask, exactly as they ask it."""

"""Tests in the system's Chromium."""

"""What a database driver says of a failure, in one line."""

from __future__ import annotations

from typing import Any


def driver_error(error: Exception) -> Any:
    """The driver's own error inside one of SQLAlchemy's, else the error itself."""
    return getattr(error, "orig", None) or error


def first_line(error: Exception) -> str:
    """The first line of the driver's error; the name of its class where it says nothing.

    psycopg2 never repeats a password; other drivers may.
    """
    driver = driver_error(error)
    lines = str(driver).strip().splitlines()
    return lines[0] if lines else type(driver).__name__

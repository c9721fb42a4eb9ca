"""A Superset app of this process, for programs of the package's own."""

from __future__ import annotations

from typing import Any


def superset_app() -> Any:
    """Make the app, as Superset's own command does."""
    from superset.app import create_app

    return create_app()

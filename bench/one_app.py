"""Figures of one Superset app, over a PostgreSQL and a Valkey of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from superset_ext.embedded.valkey import Valkey
from testing.databases import postgres_in
from testing.superset_app import SECONDS, run


def figures_of(script: str, settings: str) -> Any:
    """What a script says in an app of its own, which has caches and no log.

    Args:
        script: see `testing/superset_app.py` for the names that it may use.
        settings: lines at the end of the app's configuration.
    """
    with tempfile.TemporaryDirectory() as folder, postgres_in(Path(folder) / "postgres") as postgres:
        valkey = Valkey(Path(folder) / "valkey").start()
        env = {"SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false"}
        metadata, source = postgres.create_database("meta"), postgres.create_database("source")
        try:
            return run(script, metadata, source, Path(folder), settings, SECONDS, **env)
        finally:
            valkey.stop()

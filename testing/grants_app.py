"""Runs scripts in a process with a Superset app whose answers are given again: see the `World` of `grants.py`."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.grants import CSRF_SETTINGS
from testing.pooler import Pooler
from testing.regions import PATIENT
from testing.superset_app import run

# No app context around the requests: in one, all would share what `g` holds.
_START = """
from testing import grants
world = grants.World(app, source, os.environ["METADATA"])
world.url = os.environ["PAST_POOLER"] or world.url
from flask.globals import _cv_app
_cv_app.get().pop()
world.ready()
"""
_END = """
from superset_ext.core.signals import failures
results["failures"] = dict(failures)
hooks = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
called = [hook for by_name in hooks for some in by_name.values() for hook in some]
ours = [hook for hook in called if hook.__module__.startswith("superset_ext.grants")]
results["hooks"] = {hook.__qualname__: hasattr(hook, "__wrapped__") for hook in ours}
say(results)
"""


def run_in_app(
    script: str,
    postgres: Postgres,
    valkey: Valkey,
    folder: Path,
    seconds: float = 900,
    pooler: Pooler | None = None,
    **more: str,
) -> dict[str, Any]:
    """What a script has put into `results`; it finds `world`, and `more` in its environment.

    With a pooler, Superset reaches its metadata database by that, and whoever changes something goes past it.
    """
    metadata, source = (postgres.create_database(f"{name}_{uuid.uuid4().hex[:8]}") for name in ("meta", "source"))
    own = {
        "SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false", "SUPERSET_EXT_GRANTS": "triggers",
        **{f"SUPERSET_EXT_{name}": str(value) for name, value in PATIENT.items()}, **more,
    }  # fmt: skip
    own["PAST_POOLER"] = metadata if pooler else ""
    by = pooler.url(metadata.rpartition("/")[2]) if pooler else metadata
    result: dict[str, Any] = run(_START + script + _END, by, source, folder, CSRF_SETTINGS, seconds, **own)
    return result

"""How each probe is doing, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superset_ext.core.log_database import LogDatabase
from superset_ext.settings import Probe

LATE_SECONDS = 60.0
_SHOWN = ("answered_at", "changed_at", "failed_since", "next_at", "database_id", "dataset_id", "error")


def status(database: LogDatabase, probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """Each probe: its name, when it answered, changed and is asked next, and its `problem`, or `None` if it is well.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    states = database.query("probe_states", {"probes": [probe.key for probe in probes]})
    rows = {row["probe"]: row for row in states}
    return [_described(probe, rows.get(probe.key)) for probe in probes]


def _described(probe: Probe, row: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "probe": probe.name, **{name: row[name] if row else None for name in _SHOWN},
        "every": probe.every, "problem": _problem(probe, row),
    }  # fmt: skip


def _problem(probe: Probe, row: dict[str, Any] | None) -> str | None:
    if row is None:
        return "it was never asked; see that Celery beat and a worker run"
    if float(row["late"]) > LATE_SECONDS:
        return f"its turn was {float(row['late']):.0f} s ago; see that Celery beat and a worker run"
    if row["failed_since"] is None:
        return None if row["error"] is None else str(row["error"])
    over = float(row["failing"]) >= probe.patience
    return f"it fails{', and its charts go to the database' if over else ''}: {row['error']}"

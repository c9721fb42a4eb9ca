"""Timeouts of datasets: longer ones where changes are told, and where it would pay to have them told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from superset_ext.cache.tuned import Tuned
from superset_ext.core.sql_folder import query_text
from superset_ext.monitor.advice import overrides
from superset_ext.monitor.advice.lifetimes import (
    MIN_REQUESTS,
    RELATIVE_SECONDS,
    Dataset,
    Limits,
    datasets,
    target,
    uses,
)
from superset_ext.monitor.advice.look import Look, Recommendation, brings
from superset_ext.monitor.advice.steps import LEAST, situation
from superset_ext.monitor.advice.told import told
from superset_ext.settings import DAY, PREFIX

MIN_SECONDS = 5.0  # a day: less is not worth a change of the settings
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")  # what SQL needs no quotes for


class _Widest(Limits):
    """What people may set by hand."""

    tune_min_timeout, tune_max_timeout, tune_max_grace = 60.0, float(DAY), 3600.0


def timeouts(look: Look) -> list[Recommendation]:
    """Datasets whose answers expire more often than their data changes."""
    chart_uses = uses(look.rows, look.now - timedelta(days=1), look.now)
    plain = Tuned(float(look.settings.chart_data.timeout), look.settings.grace_seconds)
    known = datasets(look.rows, look.now, chart_uses, told(look.rows, look.now), plain, _set(look))
    if situation(chart_uses, known).is_short_of_memory:
        return []  # longer lives would throw out what others read: see `regions`
    return [recommendation for dataset in known if _counts(dataset) for recommendation in _of(look, dataset)]


def _set(look: Look) -> dict[int, Tuned]:
    """What people have set for datasets in Superset, and what tuning has set for others."""
    by_hand = {dataset: Tuned(timeout=seconds) for dataset, seconds in look.facts.timeouts.items()}
    return overrides.read(look.rows) | by_hand


def _counts(dataset: Dataset) -> bool:
    """Not where somebody has decided by a rule, or has the data read each time."""
    return dataset.requests >= MIN_REQUESTS and dataset.timeout > 0 and not dataset.has_rule


def _of(look: Look, dataset: Dataset) -> Iterator[Recommendation]:
    best = target(dataset, _Widest())
    if dataset.relative:
        best = min(best, RELATIVE_SECONDS)
    seconds = dataset.saved_by(best)
    if best < dataset.timeout * LEAST or seconds < MIN_SECONDS:
        return
    name = look.name("dataset", dataset.id)
    asked = look.ask(query_text("dataset_requests_and_changes"), dataset=dataset.id, tags=_own(dataset))
    finding = (
        f"answers of {name} live for {dataset.timeout:.0f} s, and {dataset.expired_seconds:.0f} database seconds of "
    )
    finding += f"the last day went into ones whose time was over; {_changes(dataset)}{_lateness(dataset)}"
    numbers: dict[str, Any] = asked.rows[0] | {"timeout": dataset.timeout, "best_timeout": best}
    setting = _rule(dataset, best) if dataset.reports_changes else _first_told(look, dataset, best)
    yield Recommendation(
        "timeout", overrides.subject(dataset.id), name, finding, numbers, asked.sql, setting, seconds, brings(seconds)
    )


def _own(dataset: Dataset) -> list[str]:
    return [tag for tag in dataset.tags if tag.startswith(("table:", "dataset:"))]


def _changes(dataset: Dataset) -> str:
    if not dataset.reports_changes:
        return "nobody tells when its data changes"
    return f"its data changes {dataset.change_rate * DAY:.1f} times a day, and that is told"


def _lateness(dataset: Dataset) -> str:
    return "; it is asked for times such as «last day», which may lag behind by the timeout" if dataset.relative else ""


def _rule(dataset: Dataset, best: float) -> str:
    rule = f'{{"name": "dataset-{dataset.id}", "dataset": {dataset.id}, "timeout": {best:.0f}}}'
    return f"add to {PREFIX}RULES: {rule}"


def _first_told(look: Look, dataset: Dataset, best: float) -> str:
    """Who shows data for longer must hear when it changes."""
    tables = [tag.removeprefix("table:").partition(":") for tag in dataset.tags if tag.startswith("table:")]
    own = look.name("dataset", dataset.id)
    watches = [_watch(look, int(database), table, own) for database, _, table in tables if table.strip(".")]
    first = "; ".join(watches) or f"name a probe of dataset {dataset.id} in {PREFIX}PROBES"
    other = f" (or a probe in {PREFIX}PROBES where the source is not PostgreSQL)" if watches else ""
    return f"first have its changes told: {first}{other}; then {_rule(dataset, best)}"


def _watch(look: Look, database: int, table: str, own: str) -> str:
    """The command that watches the table of a tag, for a shell. Tags have no capitals: a dataset's own table is
    written as its dataset is, of others the command itself says how they are written."""
    parts = [unquote(part) for part in table.split(".") if part]
    if parts[-1] == own.casefold():
        parts[-1] = own
    named = look.name("database", database)
    words = [str(database) if named.startswith("#") else named, ".".join(map(_identifier, parts))]
    return f"superset perf watch add {shlex.join(words)}"


def _identifier(name: str) -> str:
    """A name as SQL wants it."""
    return name if _PLAIN.fullmatch(name) else '"{}"'.format(name.replace('"', '""'))

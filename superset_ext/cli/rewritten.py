"""`superset perf rewrite --automatic` and `--allow`: rewrites of charts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from superset_ext.cli.output import show
from superset_ext.core.amount import amount
from superset_ext.host.regions import chart_region
from superset_ext.package import package, this_app
from superset_ext.plans.compared.switches import Switches
from superset_ext.plans.rewrite.automatic.report import Report, allow_again, report
from superset_ext.plans.rewrite.automatic.substitute import KIND
from superset_ext.settings import PREFIX, Rewrite


def automatic(as_json: bool) -> None:
    """Show which rules rewrite which charts, and what came of it."""
    made = report(package().log(), package().settings.rewrites)
    show(as_json, made.as_dict(), "\n".join(_lines(made)))


def allow(as_json: bool, dataset_id: int) -> None:
    """Allow again what was switched off for a dataset."""
    rules = allow_again(package().log(), Switches(KIND, lambda: chart_region(this_app())), dataset_id)
    line = f"{', '.join(rules)} may be used for dataset {dataset_id} again, once both texts have been compared anew."
    show(as_json, {"dataset_id": dataset_id, "rules": rules}, line if rules else "Nothing was switched off for it.")


def _lines(made: Report) -> Iterator[str]:
    if not made.allowed:
        yield f"No chart is rewritten: {PREFIX}REWRITES names no dataset."
    yield from (f"Allowed: {_allowed(rule)}" for rule in made.allowed)
    for row in made.uses:
        yield f"{_name(row)}: {', '.join(row['rules'])}"
        states = ", ".join(f"{row[state]} {state}" for state in ("used", "trying", "off"))
        yield f"   {amount(row['uses'], 'chart')} answered; of its statements {states}"
        took = "" if row["stock_ms"] is None else f" ({row['stock_ms']:.1f} ms to {row['rewritten_ms']:.1f})"
        runs = amount(row["runs"], "time")
        yield f"   compared {runs}{took}, {row['differences']} with other rows; {row['failures']} failed"
        yield from (f"   off: {reason}" for reason in row["reasons"])
    for row in made.off:
        yield click.style(
            f"OFF: {row['rule']} gave other rows for {_name(row)}, since {row['at']:%Y-%m-%d %H:%M}", fg="red"
        )
        yield f"   Superset's own: {row['original']}"
        yield f"   the other text: {row['rewritten']}"
        yield f"   allow it again by: superset perf rewrite --allow {row['dataset_id']}"


def _allowed(rule: Rewrite) -> str:
    names = [f"{name} {value}" for name in ("dataset", "database") if (value := getattr(rule, name)) is not None]
    return f"{', '.join(names)}: {', '.join(rule.rules) or 'no rule'}"


def _name(row: dict[str, Any]) -> str:
    return f"dataset {row['dataset_id']}" + (f" ({row['dataset']})" if row["dataset"] else "")

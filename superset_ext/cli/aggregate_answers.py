"""What aggregates have answered, as `superset perf aggregates list` shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from superset_ext.aggregates.opened import source_named
from superset_ext.aggregates.route.report import answering, switched_off
from superset_ext.core.amount import amount
from superset_ext.errors import LogUnavailable, NoLogDatabase
from superset_ext.package import package
from superset_ext.settings import PREFIX

_SHOWN = ("answered", "saved_seconds", "compared", "differences", "failures", "refused", "reasons")


@dataclass(frozen=True)
class Answers:
    """What the log says of a database's aggregates.

    Attributes:
        rows: by the aggregates' names.
        off: those that gave other rows.
        reason: why the log does not say it; empty, if it does.
    """

    rows: Mapping[str, dict[str, Any]]
    off: Mapping[str, dict[str, Any]]
    reason: str = ""

    @classmethod
    def of(cls, database: str) -> Answers:
        """Of Superset's database of this name or id. Needs an app context."""
        number, _ = source_named(database)
        try:
            log = package().log()
            rows, off = answering(log, number), switched_off(log, number)
        except (LogUnavailable, NoLogDatabase) as error:
            return cls({}, {}, str(error))
        return cls({row["aggregate"]: row for row in rows}, {row["aggregate"]: row for row in off})

    def as_dict(self, name: str) -> dict[str, Any]:
        """As JSON has it."""
        row = self.rows.get(name, {})
        return {column: row.get(column) for column in _SHOWN} | {"switched_off": self.off.get(name)}

    def lines(self, name: str) -> Iterator[str]:
        """For people."""
        row = self.rows.get(name)
        if self.reason:
            yield f"   what it has answered is not known: {self.reason}"
        elif row is None:
            yield f"   no chart was answered from it; {PREFIX}AGGREGATES names the datasets whose charts may be"
        else:
            answered, compared = amount(row["answered"], "statement"), amount(row["compared"], "time")
            yield f"   {answered} answered, {row['saved_seconds']:,.1f} s saved; compared {compared}, " + (
                f"{row['differences']:,} with other rows; {row['failures']:,} failed"
            )
            yield from (f"   left to Superset: {reason}" for reason in row["reasons"].split("; ") if reason)
        if off := self.off.get(name):
            yield click.style(f"   OFF: it gave other rows, since {off['at']:%Y-%m-%d %H:%M}", fg="red")
            yield f"   Superset's own: {off['original']}"
            yield f"   the other text: {off['rewritten']}"
            yield "   it answers again once it was built anew: drop it and build it"

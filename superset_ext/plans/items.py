"""All that is recommended in words, of every kind in one form: what was found, what to do, and what that brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MEBI = 2**20
_DAYS = 7  # that the seconds of a statement are of
Row = Mapping[str, Any]

SECTIONS: Mapping[str, str] = {
    "setting": "To set otherwise", "index": "Indexes", "rewrite": "Other texts with the same answer",
    "finding": "What plans of slow statements show", "upkeep": "What sources need", "look": "What was left out",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is recommended.

    Attributes:
        section: which of `SECTIONS`.
        kind: of what sort it is within that.
        subject: what it is about, as `dataset:12`, and `name`, what people call it.
        finding: what was found, in a sentence.
        set_: what to set, or to run.
        brings: what that should bring, in words.
        seconds: database seconds a day that it should bring, an estimate; `None` where that is not known.
        evidence: the figures that it stands on.
        more: further lines, with their names.
    """

    section: str
    kind: str
    subject: str
    name: str
    finding: str
    set_: str
    brings: str = ""
    seconds: float | None = None
    evidence: Row | None = None
    more: tuple[tuple[str, str], ...] = ()

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """What stands below the finding, with the names of the lines."""
        name = {"setting": "Set", "index": "Build"}.get(self.section, "Do")
        return ((name, self.set_), ("Brings", self.brings), *self.more)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "section": self.section, "kind": self.kind, "subject": self.subject, "name": self.name,
            "finding": self.finding, "evidence": dict(self.evidence or {}), "set": self.set_, "brings": self.brings,
            "estimated_seconds_a_day": None if self.seconds is None else round(self.seconds, 1),
        }  # fmt: skip


def items_of(values: Mapping[str, list[dict[str, Any]]]) -> list[Item]:
    """What `everything` returns, section by section, in its order."""
    return [line(row) for kind, line in _WORDING.items() for row in values[kind] if kind != "looks" or row["reason"]]


def _setting(row: Row) -> Item:
    return Item(
        "setting", row["kind"], row["subject"], row["name"], row["finding"], row["set"], row["brings"],
        row["estimated_seconds_a_day"], row["evidence"],
    )  # fmt: skip


def _index(row: Row) -> Item:
    next_step = f"superset perf indexes try --database {row['database_id']}" if row["state"] == "proposed" else ""
    return Item(
        "index", row["state"], f"database:{row['database_id']}", row["table_name"], _state(row), row["command"],
        _saves(row), None if row["seconds"] is None else row["seconds"] / _DAYS, {"numbers": dict(row)},
        (("Costs", _writes(row)), ("Who gains", _who(row)), ("Take it away", row["drop_command"]), ("Next", next_step)),
    )  # fmt: skip


def _state(row: Row) -> str:
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"An index on {row['table_name']} of {row['database']} is {row['state']}{reason}"


def _saves(row: Row) -> str:
    size = f"takes {row['bytes'] / _MEBI:,.1f} MiB (estimated)"
    reach = "" if row["reach_seconds"] is None else f" of {row['reach_seconds']:,.1f} s that statements took in a week"
    if row["seconds"] is None:
        return f"not costed{reach and f'; it could serve some{reach}'}; {size}"
    return f"saves {row['seconds']:,.1f} s{reach}, by the planner's costs; {size}"


def _writes(row: Row) -> str:
    if row["writes_a_day"] is None or row["wal_bytes_a_day"] is None:
        return ""
    wal = f"{row['wal_bytes_a_day'] / _MEBI:,.1f} MiB of write-ahead log (estimated)"
    return f"about {row['writes_a_day']:,.0f} rows written a day, each of which it follows, {wal}"


def _who(row: Row) -> str:
    return "; ".join(filter(None, (row["chart_names"], row["dataset_names"])))


def _rewrite(row: Row) -> Item:
    below = f"; sure below {row['only_below_rows']:,} rows" if row["only_below_rows"] is not None else ""
    saved = row["seconds"] * (1 - 1 / max(row["times"], 1.0))
    costs = f"cost {row['cost']:,.0f} → {row['cost_after']:,.0f}"
    return Item(
        "rewrite", row["rule"], f"database:{row['database_id']}", _asker(row),
        f"{_asker(row)}: {'; '.join(row['changed'])} [{row['rule']}]",
        row["next_step"],
        f"about {row['times']:.1f} times as fast (estimated), {costs}{below}",
        saved / _DAYS, {"numbers": dict(row)},
    )  # fmt: skip


def _finding(row: Row) -> Item:
    return Item(
        "finding", row["kind"], f"database:{row['database_id']}", _asker(row),
        f"{_asker(row)}: {row['evidence']} [{row['kind']}]", row["advice"],
        f"at most {row['seconds_at_most']:,.1f} of {row['seconds']:,.1f} s of a week ({row['sure']})",
        row["seconds_at_most"] / _DAYS, {"numbers": dict(row)}, (("Next", row["next_step"]),),
    )  # fmt: skip


def _asker(row: Row) -> str:
    return f"{row['chart']} ({row['dataset']})"


def _need(row: Row) -> Item:
    return Item(
        "upkeep", row["kind"], f"database:{row['database_id']}", row["subject"],
        f"{row['severity']}: {row['subject']}: {row['evidence']} [{row['kind']}]",
        row["advice"], "", None, {"numbers": dict(row)}, (("Run", row["command"]),),
    )  # fmt: skip


def _look(row: Row) -> Item:
    subject, name = f"database:{row['database_id']}", row["database"]
    return Item("look", row["topic"], subject, name, f"{name}, {row['topic']}: {row['reason']}", "")


_WORDING: Mapping[str, Callable[[Row], Item]] = {
    "result": _setting, "indexes": _index, "rewrites": _rewrite, "findings": _finding, "upkeep": _need, "looks": _look,
}  # fmt: skip

"""What a check of a source is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from superset_ext.compat import StrEnum

Row = Mapping[str, Any]


class Severity(StrEnum):
    """How soon somebody has to act: before it stops the source; before long; when there is time."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"


class Action(StrEnum):
    """Statements that block neither readers nor writers, and that `superset perf upkeep run` may run."""

    ANALYZE = "ANALYZE"
    VACUUM = "VACUUM"
    REINDEX = "REINDEX INDEX CONCURRENTLY"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a source that costs it time, or will.

    Attributes:
        kind: the name of its check.
        subject: what it is about, as the source writes it: `public.orders`.
        evidence: what was seen, in a sentence without values of rows or queries.
        numbers: the figures of that sentence.
        advice: what to do.
        command: a statement for that; empty where there is none. Only that of an action is ever run by us.
        action: what it is where it may be run by us.
    """

    kind: str
    severity: Severity
    subject: str
    evidence: str
    numbers: Mapping[str, float]
    advice: str
    command: str = ""
    action: Action | None = None

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Unseen:
    """What a check could not look at, in one sentence."""

    kind: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self)


Verdict = Finding | Unseen
Judge = Callable[[Sequence[Row]], Iterator[Verdict]]
Measure = Callable[[Any, Sequence[Verdict]], list[Verdict]]


@dataclass(frozen=True, slots=True)
class Check:
    """A question to a source, and what its answer means.

    Attributes:
        kind: its name.
        judge: from the rows of the answer to what they mean.
        queries: files of `sql/queries`, by the first version of PostgreSQL (as `server_version_num` has it) that each
            is for.
        measure: what its verdicts are once the source has been asked more closely; `None` where it is not.
    """

    kind: str
    judge: Judge
    queries: Mapping[int, str] = field(default_factory=dict)
    measure: Measure | None = None

    def query(self, version: int) -> str:
        """The file for a version."""
        return self.queries[max(first for first in self.queries if first <= version)]


OLDEST = 140_000


def on(action: Action, subject: str) -> str:
    """The statement of an action; `subject` is quoted already."""
    return f"{action} {subject}"


def hidden(kind: str, count: int, things: str) -> Iterator[Unseen]:
    """That a role may not look at `count` things, if that is so."""
    if count:
        yield Unseen(kind, f"{count} {things} are hidden from this role; GRANT pg_monitor TO it, or SELECT on them")

"""Indexes that could go: broken ones, those that nobody reads, and those that another one makes needless.

What guards data is left alone whatever its scans are: unique and exclusion constraints, what a foreign key or a replica
identity needs, and what a table is clustered by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from superset_ext.plans.indexes.catalog import Existing

# How PostgreSQL begins each definition; a name in quotes may have anything in it.
_NAMED = re.compile(r'^CREATE (?:UNIQUE )?INDEX (?:"(?:[^"]|"")*"|[^" ]+) ')
LEAST_DAYS = 30.0  # of statistics; what is read once a month must have had its turn


@dataclass(frozen=True, slots=True)
class Needless:
    """An index that could go.

    Attributes:
        kind: invalid, duplicate, redundant or unused.
        reason: why, in words.
    """

    existing: Existing
    kind: str
    reason: str


def needless(existing: Sequence[Existing]) -> list[Needless]:
    """The indexes that could go, each once, for the first of these reasons."""
    kept = [index for index in existing if index.valid]
    verdicts: list[Needless] = []
    for index in existing:
        if index.constrains or index.building:
            continue
        verdict = _verdict(index, kept)
        if verdict is not None:
            verdicts.append(verdict)
            kept = [other for other in kept if other is not index]  # of two that are alike, one stays
    return verdicts


def _verdict(index: Existing, kept: Sequence[Existing]) -> Needless | None:
    if not index.valid:
        return Needless(index, "invalid", "its build was broken off, and no query uses it; every write keeps it up")
    others = [other for other in kept if other is not index and other.table == index.table]
    for other in others:
        if _shape(other) == _shape(index):
            return Needless(index, "duplicate", f"{other.name} is the same")
    for other in others:
        if index.index is not None and other.index is not None and other.index.extends(index.index):
            return Needless(index, "redundant", f"{other.name} begins with the same columns")
    if index.scans == 0 and index.days is not None and index.days >= LEAST_DAYS:
        return Needless(index, "unused", f"no scan on this server in {index.days:.0f} days; a replica counts its own")
    return None


def _shape(index: Existing) -> str:
    """All of a definition but the name; whether it is unique does not matter to who reads."""
    return _NAMED.sub("", index.definition)


def too_young(existing: Sequence[Existing]) -> Iterator[str]:
    """Why unused indexes cannot be told yet, where that is so."""
    days = [index.days for index in existing if index.days is not None]
    if existing and (not days or min(days) < LEAST_DAYS):
        age = f"{min(days):.0f} days old" if days else "of unknown age"
        yield f"unused indexes are not told yet: the source's statistics are {age}, and {LEAST_DAYS:.0f} are needed"

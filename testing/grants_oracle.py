"""What an answer must at least show, and whether it did: from what was committed, what was told of it, and when."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from testing.grants_site import GRACE, TIMEOUT

METRIC = 10**9  # a chart shows the version of its metrics times this, and that of its table
REVOKED = "p3"  # whose role is taken and given back


@dataclass
class Asked:
    """A request under way.

    Attributes:
        reads: the tables that its answer shows; of a document none.
        floors: the least version of each thing that it may show.
        began: when it was sent.
    """

    reads: tuple[str, ...]
    name: str
    floors: dict[str, int] = field(default_factory=dict)
    began: float = 0.0


@dataclass
class Counts:
    """What a run came to.

    Attributes:
        given: answers that were given again.
        unmodified: those of them that were a 304.
        refused: answers to somebody who may not see it.
        changes: those that were told, each by a request that had answered.
        compared: answers that were compared with Superset's without cache.
        wrong: what an answer showed that was older than what had been told, or than its time.
        errors: answers that were none.
    """

    steps: int = 0
    asked: int = 0
    given: int = 0
    unmodified: int = 0
    refused: int = 0
    changes: int = 0
    compared: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Oracle:
    """What there is, and what was told of it.

    Attributes:
        versions: what is committed, of tables, names, styles, metrics and rights; odd ones of these have none.
        floors: of these what was told.
        replaced: when a version of a table was no more.
        longest: seconds of a request.
        etags: what each has of a document, and what it showed.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.versions = Counter[str]()
        self.floors = Counter[str]()
        self.replaced: dict[tuple[str, int], float] = {}
        self.longest = 0.0
        self.etags: dict[tuple[str, str], tuple[str, list[int]]] = {}

    def write(self, name: str, version: int) -> None:
        """A version of a table was committed just now, and nobody says so."""
        self.replaced[name, self.versions[name]] = time.monotonic()
        self.versions[name] = version

    def commit(self, name: str, version: int) -> None:
        """A version was committed that nobody has to tell of."""
        self.versions[name] = self.floors[name] = version

    def is_told(self, name: str) -> bool:
        """Whether the last version was told."""
        return self.floors[name] == self.versions[name]

    def tell(self, name: str, version: int) -> None:
        """A version was told."""
        self.floors[name] = max(self.floors[name], version)
        self.counts.changes += 1

    def refuse(self, job: Asked, args: tuple[Any, ...], answer: dict[str, Any]) -> None:
        """Look at an answer to somebody who may not see it."""
        self.counts.refused += 1
        self._as_of_rights(job, 1, args, answer)

    def look(self, verb: str, args: tuple[Any, ...], job: Asked, who: str, answer: dict[str, Any]) -> None:
        """Look at an answer."""
        self.longest = max(self.longest, time.monotonic() - job.began)
        self.counts.given += answer["given"]
        self.counts.unmodified += answer["status"] == 304
        if who == REVOKED:
            self._as_of_rights(job, 0, args, answer)
        self._look(verb, args, job, who, answer)

    def _as_of_rights(self, job: Asked, remainder: int, args: tuple[Any, ...], answer: dict[str, Any]) -> None:
        """Look whether somebody had this right at some moment of the request."""
        versions = range(job.floors.get("rights", 0), self.versions["rights"] + 1)
        if not any(version % 2 == remainder for version in versions):
            self.counts.wrong.append(f"{args} as of another right than those of {versions}: {answer}")

    def _look(self, verb: str, args: tuple[Any, ...], job: Asked, who: str, answer: dict[str, Any]) -> None:
        if verb == "document":
            _, last = self.etags.get((who, job.name), (None, [-1, -1]))
            if answer["status"] == 304 and args[2] != self.etags[who, job.name][0]:
                return  # what it stood for is not known any more
            shown = answer["shown"] if answer["status"] == 200 else last
            if answer["status"] == 200 and answer["etag"]:
                self.etags[who, job.name] = answer["etag"], shown
            for thing, version in zip(("name", "style"), shown, strict=False):
                self._at_least(thing, version, job, args, answer)
            return
        for table, value in zip(job.reads, answer["shown"], strict=False):
            metric, version = divmod(value, METRIC)
            self._at_least("metric", metric, job, args, answer)
            self._at_least(table, version, job, args, answer)
            self._in_time(table, version, job, args, answer)

    def _at_least(self, name: str, version: int, job: Asked, args: tuple[Any, ...], answer: dict[str, Any]) -> None:
        if not job.floors.get(name, 0) <= version <= self.versions[name]:
            self.counts.wrong.append(
                f"{args} showed {name} {version}, of {job.floors.get(name, 0)} to {self.versions[name]}: {answer}"
            )

    def _in_time(self, table: str, version: int, job: Asked, args: tuple[Any, ...], answer: dict[str, Any]) -> None:
        """Look whether a version was replaced longer ago than an entry of this chart may live."""
        replaced = self.replaced.get((table, version))
        if job.name == "c" and replaced is not None:
            late = job.began - replaced - TIMEOUT - GRACE - self.longest
            if late > 0:
                self.counts.wrong.append(f"{args} showed {table} {version}, {late:.1f} s after its time: {answer}")

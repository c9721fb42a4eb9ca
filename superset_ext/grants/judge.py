"""Whether an answer may be given again: the argument, and the order of steps that it needs.

**The promise.** A request is answered with stored bytes only if Superset, asked at some moment between the request's
coming and its answer, would have answered it with the same ones. What cannot be known refuses the grant, and Superset
answers as ever. Nothing here refuses a request.

**What an answer is a function of.** (1) The request: all that is read of it is in the key. (2) Who asks: the
credential is checked anew each time, as Superset checks it; who it names is in the key, and that Superset took the same
person for the asker is looked at when the answer is stored. (3) Rows of the metadata database: users, roles, rights,
rules, datasets, charts, dashboards, databases. (4) Entries of chart_data: only an answer all of which was in the
cache, fresh, is stored; a query that goes to a source while it is made spoils it. (5) Configuration and code, which are
in the key. (6) The clock: bounds of time ranges are worked out anew (`moving`), and an entry's end is the grant's. What
else there might be (templates, foreign security managers, functions that decide about flags) is refused (`refusals`).

**Rows of the metadata database.** A grant keeps a mark M0 that was taken before Superset read anything for the request,
by it or by one before it.
Superset's statements each see what had been committed when they began, which is at least what M0 sees. At the check
the mark is held against what is visible now. Let T be a transaction that wrote a watched table and that is visible now.
Either M0 sees it: then so did every read of Superset's, which came after M0. Or M0 does not see it: then T's own row,
which became visible with it, ends the grant. No order of commits matters, neither of T nor among others: it is asked of
each transaction by itself. What is not visible now had not been committed when the request came, so that Superset
might have missed it too. Whoever kills a writer leaves either all of T or nothing, and so does the row. Triggers
that are missing, were switched off or made anew, and another run of the server, have another name, under which no
earlier grant holds.

A row of T may say that T wrote of one dashboard D nothing but contents, by which no statement chooses rows. It ends the
grants that have read D's row. The others' statements would have returned the same, with T or without. Which rows were
read is what SQLAlchemy has made objects of; a statement that may have read contents in another way (`dashboard_reads`)
makes its grant depend on every dashboard.

**Entries of chart_data.** In the one round trip that brings the grant, Redis says whether each entry is the very one
that was used (by its random id: replaced, deleted, expired and evicted ones are not), and what the stamps of all their
tags are. `as_of` of the grant is the earliest of its entries', so a stamp that makes one of them stale makes the grant
stale. An entry that somebody will store later with rows from before a change has another id.

**Order.** Stamps and marks that are stored are read before what they vouch for, and those that are checked are read
after the request came, in whatever order: what has ended a grant goes on ending it, so where both checks succeed, both
would have succeeded at the moment of the earlier one. Where the grant was stored between the two, what it has read
before the check of rights is what that check saw, and what it has read after it was so while this request waited.
Signature, key and times are checked as those of every entry. A writer to Redis can hide a grant or bring back an
earlier one of the same key, which then fails its checks as it would have. Where this process knows the bytes, such a
writer can have them judged by other tags, as one who changes stamps can: at worst an answer is given that has ended,
and not beyond its signed end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol

from superset_ext.cache.envelope import Envelope
from superset_ext.errors import StoreUnavailable
from superset_ext.grants.ages import Ages, are_ages
from superset_ext.grants.early import Early
from superset_ext.grants.moving import Pair, Range, joined

_MARK_SECONDS = 0.25  # for which a mark is used
_KEYS = 10_000  # whose marks a process remembers


class Rights(Protocol):
    """What knows of changes on the metadata database."""

    def ready(self) -> bool:
        """Whether marks can be had by now, as far as is known without asking."""
        ...

    def now(self) -> tuple[str, str] | None:
        """The mark of this moment; `None` where none can be had."""
        ...

    def holds(
        self, mark: tuple[str, str], dashboards: Sequence[int] | None = None, early: Early | None = None
    ) -> bool | None:
        """Whether nothing changed that is not in a mark, and matters to what has read the contents of these dashboards.

        `None` stands for any dashboard. `early` is what `begin` has begun. `None` where it cannot be known.
        """
        ...

    def begin(self) -> Early | None:
        """Begin to look at that, before a mark is known, without waiting for it; `None` where that cannot be."""
        ...


class Region(Protocol):
    """What keeps grants beside the entries that they were made of."""

    def grant(self, key: str, read: Callable[[Any], Any]) -> tuple[Envelope, Any] | None:
        """What `read` makes of what was kept under a key, while its parts are there and fresh."""
        ...

    def keep_grant(self, key: str, value: Any, parts: Mapping[str, Envelope], seconds: float) -> bool:
        """Keep something that was made of parts."""
        ...

    def document(self, key: str) -> Any:
        """What was kept under a key that is made of no parts."""
        ...

    def keep_document(self, key: str, value: Any, seconds: float) -> bool:
        """Keep something that is made of no parts."""
        ...


@dataclass(frozen=True, slots=True)
class Grant:
    """An answer that may be given again.

    Attributes:
        mark: what rights and objects were as of.
        content_type: its header.
        encoding: how the body is compressed, `None` for not at all.
        pieces: the body; a bound of a time range that may move is a range's number and 0 or 1.
        ranges: what may move.
        key_moves: whether Superset's cache key may move with them.
        locale: what Superset wrote into the session as its language; `None` where it wrote nothing.
        replayed: what is counted and logged each time, as two texts; see `Replayed`.
        is_document: whether it is made of the metadata database alone.
        ages: moments, and how it is said in the body how long ago they are.
        dashboards: the ids of those whose contents were read, and those ids less than 0 where it matters how labels
            are colored there; `None` where it may be any.
        colors: what stands for the label colors of the request, which are not in its key; see `colors`.
    """

    mark: tuple[str, str]
    content_type: str
    encoding: str | None
    pieces: tuple[Any, ...]
    ranges: tuple[Range, ...]
    key_moves: bool
    locale: str | None
    replayed: tuple[str, str]
    is_document: bool = False
    ages: Ages = ()
    dashboards: tuple[int, ...] | None = None
    colors: str = ""

    def body(self) -> bytes | None:
        """The body as of now; `None` where Superset would look under another key, or say another age."""
        if not are_ages(self.ages):
            return None
        pairs: list[Pair] = [moving.now() for moving in self.ranges]
        if self.key_moves and pairs != [moving.pair for moving in self.ranges]:
            return None
        return joined(self.pieces, pairs)

    def packed(self) -> list[Any]:
        """As a value of the region."""
        values = [
            self.mark, self.content_type, self.encoding, [astuple(moving) for moving in self.ranges], self.key_moves,
            self.locale, self.is_document, self.ages, self.dashboards, self.colors,
        ]  # fmt: skip
        return [json.dumps(values), *self.replayed, *map(_pair, self.pieces)]

    @classmethod
    def unpacked(cls, value: Sequence[Any]) -> Grant:
        """From a value of the region."""
        mark, kind, encoding, ranges, key_moves, locale, is_document, ages, boards, shades = json.loads(value[0])
        bounds = tuple(Range(tuple(map(tuple, words)), tuple(pair)) for words, pair in ranges)
        replayed, pieces = (value[1], value[2]), tuple(value[3:])
        return cls(
            tuple(mark), kind, encoding, pieces, bounds, key_moves, locale, replayed, is_document, tuple(ages),
            None if boards is None else tuple(boards), shades,
        )  # fmt: skip


def _pair(piece: bytes | Sequence[int]) -> bytes | list[int]:
    return piece if isinstance(piece, bytes) else list(piece)


class Judge:
    """Gives what holds.

    Args:
        region: the region of chart data.
        rights: what knows of changes on the metadata database.
        seconds: for how long an answer is given at most.
    """

    def __init__(self, region: Region, rights: Rights, seconds: float) -> None:
        self._region = region
        self.rights = rights
        self._seconds = seconds
        self._marked: tuple[tuple[str, str] | None, float] = (None, 0.0)
        self._given: set[str] = set()  # keys of grants that this process has given

    def mark(self) -> tuple[str, str] | None:
        """A mark from before now, `None` where none can be had.

        It is a moment old at most, so that the many requests of a moment ask once. An earlier mark sees less, and ends
        with more: what is kept under it holds no longer than under one of now.
        """
        mark, until = self._marked
        if mark is None or time.monotonic() >= until:
            mark = self.rights.now()
            self._marked = mark, time.monotonic() + _MARK_SECONDS
        return mark

    def granted(self, key: str, of_entries: bool = True, early: Early | None = None) -> tuple[Grant, bytes] | None:
        """What is granted under a key, and its body as of now; `None` where nothing holds.

        Args:
            of_entries: whether it was made of entries of chart data, or else of the metadata database alone.
            early: what `rights` have begun since the request came.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        grant = self._kept(key, of_entries)
        if grant is None or not self._holds(grant, early):
            self._given.discard(key)
            return None
        if len(self._given) >= _KEYS:
            self._given.clear()
        self._given.add(key)
        body = grant.body()
        return None if body is None else (grant, body)

    def _holds(self, grant: Grant, early: Early | None) -> bool:
        holds = self.rights.holds(grant.mark, grant.dashboards, early)
        if holds is False:
            self._marked = None, 0.0  # something was written, so what is kept under this one would not hold either
        return bool(holds)

    def gave(self, key: str) -> bool:
        """Whether this process has given what is granted under a key lately."""
        return key in self._given

    def _kept(self, key: str, of_entries: bool) -> Grant | None:
        if of_entries:
            kept = self._region.grant(key, Grant.unpacked)
            return None if kept is None else kept[1]
        document = self._region.document(key)
        return None if document is None else Grant.unpacked(document)

    def keep(self, key: str, grant: Grant, parts: Mapping[str, Envelope], since: float) -> bool:
        """Keep an answer that was made of entries; whether it was kept.

        Args:
            since: by the monotonic clock, when nothing that it is made of had been read yet.
        """
        seconds = self._seconds - (time.monotonic() - since)
        if seconds <= 0:
            return False
        try:
            if grant.is_document:
                return self._region.keep_document(key, grant.packed(), seconds)
            return self._region.keep_grant(key, grant.packed(), parts, seconds)
        except StoreUnavailable:
            return False

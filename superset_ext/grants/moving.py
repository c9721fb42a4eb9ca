"""Time ranges that move: an answer says between which moments it lies, and "now" is another one each second.

Superset's cache key has a range as it was written, so the rows that it answers with stay the same while the bounds in
its answer move. What was granted has these bounds left open; they are worked out anew each time, by Superset's own
function, and the answer is then what Superset would say now.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from flask_babel import get_locale

from superset_ext.errors import Unanswerable
from superset_ext.host.granting import bounds, epoch

_DAY = r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d)?"
_FIXED = re.compile(rf"|No filter| : |(?:{_DAY})? : (?:{_DAY})?")
_SAID = re.compile(rb'"(?:from|to)_dttm": ([^,}\]]+)')
_KEPT_SECONDS = 512  # evaluations that a process keeps

Words = tuple[tuple[str, str | None], ...]  # the arguments of `get_since_until`
Pair = tuple[str, str]  # two bounds as JSON
_NONE: Pair = ("null", "null")


@dataclass(frozen=True, slots=True)
class Range:
    """A time range that may move.

    Attributes:
        words: as it was written.
        pair: its bounds at the time, as JSON.
    """

    words: Words
    pair: Pair

    def now(self) -> Pair:
        """Its bounds by now."""
        return _bounds(self.words, str(get_locale()), int(time.time()))


def ranges_of(queries: Iterable[Any]) -> list[Range]:
    """The ranges of Superset's query objects, and of old charts, that may move.

    Raises:
        Unanswerable: a query has bounds that do not follow from what is written, or that moved meanwhile.
    """
    ranges, fixed = [], set()
    for query in queries:
        moving = _ranges(query)
        ranges += moving
        if not moving:
            fixed.add((_json(query.from_dttm), _json(query.to_dttm)))
    if any(moving.pair in fixed and moving.pair != _NONE for moving in ranges):
        raise Unanswerable("the bounds of its time range cannot be told apart")
    return list(dict.fromkeys(ranges))


def cut(body: bytes, ranges: Sequence[Range]) -> list[bytes | tuple[int, int]]:
    """An answer in pieces: bytes, and in place of each bound that may move, the range's number and 0 or 1.

    Raises:
        Unanswerable: the bounds that it says are not surely those of the ranges.
    """
    pieces: list[bytes | tuple[int, int]] = []
    end, matches = 0, list(_SAID.finditer(body))
    if len(matches) % 2 or len({moving.pair for moving in ranges}) < len(ranges):
        raise Unanswerable("the bounds of its time range cannot be told apart")
    by_pair = {moving.pair: number for number, moving in enumerate(ranges)}
    for first, second in zip(matches[::2], matches[1::2], strict=True):
        number = by_pair.get((first[1].decode(), second[1].decode()))
        if number is None:
            continue
        for side, match in enumerate((first, second)):
            pieces += [body[end : match.start(1)], (number, side)]
            end = match.end(1)
    return [*pieces, body[end:]]


def joined(pieces: Sequence[bytes | Sequence[int]], pairs: Sequence[Pair]) -> bytes:
    """The answer with these bounds."""
    parts = [piece if isinstance(piece, bytes) else pairs[piece[0]][piece[1]].encode() for piece in pieces]
    return b"".join(parts)


def _ranges(query: Any) -> list[Range]:
    own = query.from_dttm, query.to_dttm
    candidates = _candidates(query)
    if all(_FIXED.fullmatch(dict(words).get("time_range") or "") and not _is_old(words) for words in candidates):
        return []
    pair = _json(own[0]), _json(own[1])
    ranges = [Range(words, now) for words in candidates if (now := _now(words)) is not None]
    if own != (None, None) and not any(moving.pair == pair for moving in ranges):
        raise Unanswerable("its time range has moved, or is not as it is written")
    return ranges


def _is_old(words: Words) -> bool:
    return any(dict(words).get(name) for name in ("since", "until"))


def _candidates(query: Any) -> list[Words]:
    """What the bounds of a query may follow from: its range, and filters that are ranges."""
    if hasattr(query, "form_data"):
        return [_words(query.form_data, ("time_range", "since", "until"))]
    extras = query.extras or {}
    common = {"time_shift": query.time_shift, **extras}
    filters = [part for part in query.filter or [] if part.get("op") == "TEMPORAL_RANGE"]
    texts = [query.time_range, *(part.get("val") for part in filters)]
    names = ("time_range", "time_shift", "relative_start", "relative_end", "instant_time_comparison_range")
    return [_words({**common, "time_range": text}, names) for text in dict.fromkeys(texts) if text]


def _words(given: Mapping[str, Any], names: Sequence[str]) -> Words:
    from flask import current_app

    defaults = {
        "relative_start": current_app.config["DEFAULT_RELATIVE_START_TIME"],
        "relative_end": current_app.config["DEFAULT_RELATIVE_END_TIME"],
    }
    values = defaults | {name: given[name] for name in names if given.get(name) is not None}
    if not all(isinstance(value, str) for value in values.values()):
        raise Unanswerable("its time range is no text")
    return tuple(sorted(values.items()))


def _now(words: Words) -> Pair | None:
    try:
        return _bounds(words, str(get_locale()), int(time.time()))
    except Exception as error:  # what a range is written in is a language of its own
        raise Unanswerable("its time range does not read") from error


@lru_cache(maxsize=_KEPT_SECONDS)
def _bounds(words: Words, _locale: str, _second: int) -> Pair:
    """The bounds of a range in this second: each is one of a second, or of something longer."""
    since, until = bounds(dict(words))
    return _json(since), _json(until)


def _json(bound: datetime | None) -> str:
    return json.dumps(None if bound is None else epoch(bound))

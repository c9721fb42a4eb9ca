"""What the server knows of one key, as its scripts of `lua/` say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from superset_ext.cache.envelope import tags_of
from superset_ext.core.warn_once import warn
from superset_ext.errors import StoreUnavailable

FOR_EVER = 2**53 - 1  # the deadline, in ms, of what has none: the largest integer that a score holds exactly
NONE = b"-"
_DIGITS = 16  # of a stamp, until the year 2286


@dataclass(frozen=True, slots=True)
class Reading:
    """What the server knows of one key.

    Attributes:
        data: the entry's bytes, `None` where there are none.
        time_us: the server's time before the bytes were read, in microseconds.
        stamps: of the entry's tags in their order, `None` for a tag without one.
        deadline_ms: when the absent entry was to expire, in ms of the server's time; `None` if not remembered.
        run_id: of the server that holds the stamps, and their era; empty where there is none.
        last_stamp: the last stamp that the region had given.
        views: the stamp of `VIEWS` after that, 0 where it has none; `None` where it was not asked for.
    """

    data: bytes | None
    time_us: int
    stamps: tuple[int | None, ...]
    deadline_ms: int | None
    run_id: str
    last_stamp: int = 0
    views: int | None = None

    def bad_tags(self) -> list[bytes]:
        """The entry's tags whose stamps are none, or were never given."""
        pairs = zip(tags_of(self.data or b""), self.stamps, strict=False)
        return [tag for tag, stamp in pairs if stamp is not None and stamp > self.last_stamp]


def entry_of(reply: Any) -> bytes | None:
    """An entry's bytes; a key that holds something else holds no entry."""
    return reply if isinstance(reply, bytes) else None


def whole(reply: Any) -> Any:
    """The reply itself; a refused command's reply is raised as `StoreUnavailable`."""
    if isinstance(reply, ResponseError):
        warn("refused", "Redis refused a command (%s); see that nothing else writes under our prefixes", reply)
        raise StoreUnavailable(f"Redis refused a command ({reply})")
    return reply


def words_of(head: Any) -> list[bytes]:
    """The words of a script of `lua/` after the entry's id."""
    return bytes(whole(head))[16:].split(b" ")


def views_of(replies: Sequence[Any]) -> int | None:
    """The stamp in the reply to `_asks_views`, 0 where there is none yet; `None` where it cannot be known."""
    if not replies or isinstance(replies[0], ResponseError):
        return None
    return stamp_of(replies[0] or b"0")


def stamp_of(word: bytes) -> int | None:
    """A stamp; one that is none counts as later than any entry, and so makes every entry stale."""
    if word == NONE:
        return None
    return int(word) if len(word) == _DIGITS and word.isdigit() else FOR_EVER

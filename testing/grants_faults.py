"""Rules of grants that are left out, for tests that look whether this is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from superset_ext.cache import kept
from superset_ext.cache.kept import Kept
from superset_ext.grants.hooks import Hooks
from superset_ext.grants.judge import Grant, Judge


def commit(fault: str | None) -> None:
    """Leave out one rule, in this process."""
    if fault is not None:
        FAULTS[fault]()


def _unjudged() -> None:
    """Neither stamps nor ends of what a grant was made of are judged."""

    def grant(self: Any, key: str, read: Any) -> Any:
        reading, _ = self._store.read_with_parts(self._store.name(key))
        verdict = self._entries.judge(self._store.name(key), reading)
        return (verdict[0], read(verdict[1])) if isinstance(verdict, tuple) else None

    _put(Kept, "grant", grant)


def _marks_for_ever() -> None:
    """A mark holds for ever, of charts and of documents."""
    _put(Judge, "_holds", lambda *_: True)


def _marks_of_documents() -> None:
    """A mark of a document holds for ever."""
    granted = Judge.granted

    def careless(self: Any, key: str, of_entries: bool = True, early: Any = None) -> Any:
        if of_entries:
            return granted(self, key, of_entries, early)
        holds = self.rights.holds
        self.rights.holds = lambda *_: True
        try:
            return granted(self, key, of_entries, early)
        finally:
            self.rights.holds = holds

    _put(Judge, "granted", careless)


def _without_end() -> None:
    """A grant lives on when its entries have ended."""
    of_parts, granted = kept._of_parts, Kept.grant

    def endless(parts: Any, seconds: float, now_us: int) -> Any:
        return of_parts({name: replace(part, fresh_until_us=0) for name, part in parts.items()}, seconds, now_us)

    def grant(self: Any, key: str, read: Any) -> Any:
        with_parts = self._store.read_with_parts
        self._store.read_with_parts = lambda *args: (with_parts(*args)[0], True)
        try:
            return granted(self, key, read)
        finally:
            self._store.read_with_parts = with_parts

    _put(kept, "_of_parts", endless)
    _put(Kept, "grant", grant)


def _late_marks() -> None:
    """What is stored is as of when it is stored, and not of before it was read."""
    keep = Hooks._keep

    def late(self: Any, capture: Any, response: Any) -> None:
        capture.mark = self._judge.rights.now() or capture.mark
        keep(self, capture, response)

    _put(Hooks, "_keep", late)


def _no_dashboard() -> None:
    """No grant has read a dashboard."""
    packed = Grant.packed
    _put(Grant, "packed", lambda self: packed(replace(self, dashboards=())))


FAULTS: dict[str, Callable[[], None]] = {
    "stamps": _unjudged, "marks": _marks_for_ever, "marks of documents": _marks_of_documents, "ends": _without_end,
    "late marks": _late_marks, "dashboards": _no_dashboard,
}  # fmt: skip


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)

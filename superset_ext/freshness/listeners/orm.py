"""Edits made in Superset: datasets, their columns and metrics, databases, annotations.

SQLAlchemy's events tell of them. A change is told after its commit, and not at all after a rollback. Rights and
row-level rules need no hook: Superset reads them on each request, and they are part of the cache key. Charts need none
either, since another query has another key. SQL that goes past the ORM fires no event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from superset_ext.core.signals import count_failure, unfailing
from superset_ext.freshness.change import Change
from superset_ext.freshness.listeners.tell import Tell, noticed

_PENDING = "superset_ext_changes"  # in a session's `info`
# Attributes of Superset's objects that change nothing in a chart.
_IDLE = frozenset({"changed_on", "changed_by_fk", "changed_by", "created_on", "created_by", "created_by_fk", "owners"})
_OWNERS = {"TableColumn": "table_id", "SqlMetric": "table_id", "Annotation": "layer_id"}

_Edited = tuple[str, int]  # a kind of object, and its id; an id of 0 is not known, and stands for all
_UNKNOWN: _Edited = ("datasets", 0)


def install(tell: Tell) -> None:
    """Listen from now on."""
    event.listen(Session, "after_flush", _flushed)
    event.listen(Session, "after_bulk_update", _bulk)
    event.listen(Session, "after_bulk_delete", _bulk)
    event.listen(Session, "after_rollback", _forget)

    @unfailing("telling of an edit in Superset")
    def committed(session: Any) -> None:
        _committed(session, tell)

    event.listen(Session, "after_commit", committed)


@unfailing("noticing an edit in Superset")
def _flushed(session: Any, _context: Any) -> None:
    try:
        edited = {edit for thing in (*session.new, *session.deleted) for edit in _edits(thing)}
        edited |= {edit for thing in session.dirty if _is_edited(session, thing) for edit in _edits(thing)}
    except Exception as error:  # noqa: BLE001  (a person's edit must not fail because of ours)
        edited = _unknown(error)
    if edited:
        _pending(session).update(edited)


def _is_edited(session: Any, thing: Any) -> bool:
    """Whether more changed than who changed it and when."""
    from sqlalchemy import inspect

    if not _edits(thing) or not session.is_modified(thing):
        return False
    attributes = [attribute for attribute in inspect(thing).attrs if attribute.key not in _IDLE]
    return any(attribute.history.has_changes() for attribute in attributes)


@unfailing("noticing an edit of many rows in Superset")
def _bulk(context: Any) -> None:
    """A `query.update()` or `query.delete()`: it does not tell which rows, so all of the kind count as changed."""
    try:
        mapper = getattr(context, "mapper", None)
        kind = _kinds().get(getattr(mapper, "class_", type(None)))
        edited = {(kind, 0)} if kind is not None else set()
    except Exception as error:  # noqa: BLE001  (as in _flushed)
        edited = _unknown(error)
    if edited:
        _pending(context.session).update(edited)


def _unknown(error: Exception) -> set[_Edited]:
    count_failure("noticing an edit in Superset", error)
    return {_UNKNOWN}


def _pending(session: Any) -> set[_Edited]:
    edited: set[_Edited] = session.info.setdefault(_PENDING, set())
    return edited


@unfailing("forgetting what was rolled back")
def _forget(session: Any) -> None:
    session.info.pop(_PENDING, None)


def _committed(session: Any, tell: Tell) -> None:
    edited = session.info.pop(_PENDING, None)
    change = noticed("superset", lambda: change_of(edited)) if edited else None
    if change is not None:
        tell(change)


def change_of(edited: Iterable[_Edited]) -> Change:
    """The change that edits of Superset's objects make."""
    by_kind: dict[str, set[int]] = {}
    for kind, number in edited:
        by_kind.setdefault(kind, set()).add(number)
    everything = any(0 in ids for ids in by_kind.values())
    return Change(
        "superset",
        "schema_change" if "columns" in by_kind else "user_action",
        databases=sorted(by_kind.get("databases", set()) - {0}),
        datasets=sorted((by_kind.get("datasets", set()) | by_kind.get("columns", set())) - {0}),
        layers=sorted(by_kind.get("layers", set()) - {0}),
        everything=everything,
    )


def _edits(thing: Any) -> list[_Edited]:
    """The kind and id under which an object counts; none if it changes nothing in a chart."""
    kind = _kinds().get(type(thing))
    if kind is None:
        return []
    number = getattr(thing, _OWNERS.get(type(thing).__name__, "id"), None)
    return [(kind, int(number))] if number else []


def _kinds() -> dict[type, str]:
    from superset_ext.host import models

    return {
        models.SqlaTable: "datasets", models.SqlMetric: "datasets", models.TableColumn: "columns",
        models.Database: "databases", models.AnnotationLayer: "layers", models.Annotation: "layers",
    }  # fmt: skip

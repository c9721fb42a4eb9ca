"""Edits made in Superset: datasets, their columns and metrics, databases, annotations.

They are heard through SQLAlchemy's events and told after the commit; what is rolled back is not told. Rights and
row-level rules need no listener: Superset reads them on each request, and they are part of the cache key. Charts
need none either, since another query is another key. SQL that goes past the ORM fires nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from superset_ext.freshness.change import Change

Tell = Callable[[Change], None]
_PENDING = "superset_ext_changes"  # in a session's `info`
# Attributes of Superset's objects that say nothing about what a chart shows.
_IDLE = frozenset({"changed_on", "changed_by_fk", "changed_by", "created_on", "created_by", "created_by_fk", "owners"})

_Found = tuple[str, int]  # a kind of object, and its id


def install(tell: Tell) -> None:
    """Listen from now on."""
    event.listen(Session, "after_flush", _flushed)
    event.listen(Session, "after_bulk_update", _bulk)
    event.listen(Session, "after_bulk_delete", _bulk)
    event.listen(Session, "after_rollback", _forget)
    event.listen(Session, "after_commit", lambda session: _committed(session, tell))


def _pending(session: Any) -> set[_Found]:
    found: set[_Found] = session.info.setdefault(_PENDING, set())
    return found


def _flushed(session: Any, _context: Any) -> None:
    for thing in (*session.new, *session.deleted):
        _pending(session).update(_of(thing))
    for thing in session.dirty:
        if _is_edited(session, thing):
            _pending(session).update(_of(thing))


def _is_edited(session: Any, thing: Any) -> bool:
    """Whether more changed than who changed it and when."""
    from sqlalchemy import inspect

    if not _of(thing) or not session.is_modified(thing):
        return False
    return any(each.history.has_changes() for each in inspect(thing).attrs if each.key not in _IDLE)


def _bulk(context: Any) -> None:
    """A `query.update()` or `query.delete()`: which rows it met is not said, so all of the kind count as changed."""
    mapper = getattr(context, "mapper", None)
    kind = _kinds().get(getattr(mapper, "class_", type(None)))
    if kind is not None:
        _pending(context.session).add((kind, 0))


def _forget(session: Any) -> None:
    session.info.pop(_PENDING, None)


def _committed(session: Any, tell: Tell) -> None:
    found = session.info.pop(_PENDING, None)
    if found:
        tell(change_of(found))


def change_of(found: Iterable[_Found]) -> Change:
    """What objects of Superset come to; an id of 0 is one that is not known, and stands for all."""
    by_kind: dict[str, set[int]] = {}
    for kind, number in found:
        by_kind.setdefault(kind, set()).add(number)
    everything = any(0 in numbers for numbers in by_kind.values())
    return Change(
        "superset",
        "schema_change" if "columns" in by_kind else "user_action",
        databases=sorted(by_kind.get("databases", set()) - {0}),
        datasets=sorted((by_kind.get("datasets", set()) | by_kind.get("columns", set())) - {0}),
        layers=sorted(by_kind.get("layers", set()) - {0}),
        everything=everything,
    )


def _of(thing: Any) -> list[_Found]:
    kind = _kinds().get(type(thing))
    if kind is None:
        return []
    owner = {"TableColumn": "table_id", "SqlMetric": "table_id", "Annotation": "layer_id"}.get(type(thing).__name__)
    number = getattr(thing, owner or "id", None)
    return [(kind, int(number))] if number else []


def _kinds() -> dict[type, str]:
    from superset.connectors.sqla.models import SqlaTable, SqlMetric, TableColumn
    from superset.models.annotations import Annotation, AnnotationLayer
    from superset.models.core import Database

    return {
        SqlaTable: "datasets", SqlMetric: "datasets", TableColumn: "columns", Database: "databases",
        AnnotationLayer: "layers", Annotation: "layers",
    }  # fmt: skip

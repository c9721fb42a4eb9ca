"""Edits made in Superset: datasets, their columns and metrics, databases, annotations.

SQLAlchemy's events tell of them. A change is told after its outermost commit, and not at all after a rollback. Rights
and row-level rules need no hook: Superset reads them on each request, and they are part of the cache key. Charts need
none either, since another query has another key. SQL that goes past the ORM fires no event.

Superset's dataset editor saves columns and metrics by bulk inserts and updates, which fire none, and then sets
`changed_on` of the dataset. So that attribute counts as an edit of columns or metrics, whatever it was that changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Query, Session

from superset_ext.core.signals import count_failure, unfailing
from superset_ext.core.until_commit import UntilCommit
from superset_ext.freshness.change import Change
from superset_ext.freshness.listeners.bulk import UNKNOWN, look_up, rows_of
from superset_ext.freshness.listeners.tell import Tell, noticed

# Attributes of Superset's objects that change nothing in a chart.
_IDLE = frozenset({"changed_on", "changed_by_fk", "changed_by", "created_on", "created_by", "created_by_fk", "owners"})
# Of each kind of object, the attribute with the id that it counts under.
_OWNERS = {"TableColumn": "table_id", "SqlMetric": "table_id", "Annotation": "layer_id", "SSHTunnel": "database_id"}
# What makes an edit of columns a change of the schema.
_OF_SCHEMA = frozenset({"columns", "saved"})
_OF_DATASETS = frozenset({"datasets", *_OF_SCHEMA})

_Edited = tuple[str, int]  # a kind of object, and its id; an id of 0 is not known, and stands for all


def install(tell: Tell) -> None:
    """Listen from now on."""
    edits = UntilCommit[_Edited](lambda edited: _committed(edited, tell))

    @unfailing("noticing an edit in Superset")
    def flushed(session: Any, _context: Any) -> None:
        _add(edits, session, lambda: _flushed(session))

    @unfailing("looking up the rows of a bulk statement")
    def before_bulk(_query: Any, bulk: Any) -> None:
        look_up(bulk, _owner_of)

    @unfailing("noticing a bulk statement")
    def after_bulk(bulk: Any) -> None:
        _add(edits, bulk.session, lambda: _bulk(bulk))

    event.listen(Session, "after_flush", flushed)
    for verb in ("update", "delete"):
        event.listen(Query, f"before_compile_{verb}", before_bulk)
        event.listen(Session, f"after_bulk_{verb}", after_bulk)


def _add(edits: UntilCommit[_Edited], session: Any, work_out: Callable[[], set[_Edited]]) -> None:
    try:
        edited = work_out()
    except Exception as error:  # noqa: BLE001  (a person's edit must not fail because of ours)
        count_failure("noticing an edit in Superset", error)
        edited = {("datasets", UNKNOWN)}
    for edit in edited:
        edits.add(session, edit)


def _flushed(session: Any) -> set[_Edited]:
    edited = {edit for thing in (*session.new, *session.deleted) for edit in _edits(thing)}
    return edited | {edit for thing in session.dirty for edit in _changed(session, thing)}


def _changed(session: Any, thing: Any) -> list[_Edited]:
    """The edits of an object that was changed; none if only who changed it, or the owners are others."""
    from sqlalchemy import inspect

    edits = _edits(thing)
    if not edits or not session.is_modified(thing):
        return []
    changed = {attribute.key for attribute in inspect(thing).attrs if attribute.history.has_changes()}
    saved = [("saved", edits[0][1])] if edits[0][0] == "datasets" and "changed_on" in changed else []
    return saved + (edits if changed - _IDLE else [])


def _bulk(bulk: Any) -> set[_Edited]:
    kind = _kinds().get(_model(bulk))
    return set() if kind is None else {(kind, number) for number in rows_of(bulk)}


def _owner_of(bulk: Any) -> str | None:
    """The attribute with the id that the rows of a bulk statement count under; `None` where they change no chart."""
    model = _model(bulk)
    return _OWNERS.get(model.__name__, "id") if model in _kinds() else None


def _model(bulk: Any) -> type:
    model: type = getattr(bulk.mapper, "class_", type(None))
    return model


def _committed(edited: Iterable[_Edited], tell: Tell) -> None:
    committed = time.time()
    for change in noticed("superset", lambda: (change_of(edited),)):
        tell(replace(change, at=committed))


def change_of(edited: Iterable[_Edited]) -> Change:
    """The change that edits of Superset's objects make."""
    by_kind: dict[str, set[int]] = {}
    for kind, number in edited:
        by_kind.setdefault(kind, set()).add(number)
    datasets = {number for kind in _OF_DATASETS for number in by_kind.get(kind, ())}
    return Change(
        "superset",
        "schema_change" if _OF_SCHEMA & by_kind.keys() else "user_action",
        databases=sorted(by_kind.get("databases", set()) - {UNKNOWN}),
        datasets=sorted(datasets - {UNKNOWN}),
        layers=sorted(by_kind.get("layers", set()) - {UNKNOWN}),
        everything=any(UNKNOWN in ids for ids in by_kind.values()),
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
        models.SSHTunnel: "databases",
    }  # fmt: skip

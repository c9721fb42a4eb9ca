"""What an aggregate is made of and how it is kept up; as plain data, so that it can be stored."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlglot import exp

from superset_ext.aggregates.base import base
from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.shape import relation_of, shape_of
from superset_ext.aggregates.view import Key, Measure, View, quoted
from superset_ext.errors import AggregateError, AggregateRefused
from superset_ext.plans.rewrite.facts import Column, Facts, Kind
from superset_ext.plans.rewrite.rewriting import parsed

SCHEMA = "superset_ext_aggregates"
ENGINE = "postgres"
EVERY_SECONDS = 60
_NAME = re.compile(r"[a-z][a-z0-9_]{0,35}")  # with what triggers are called besides, it is the longest that fits
_RESERVED = re.compile(r"catalogue|(note|noted|new|delta)_.*")

Upkeep = Literal["notes", "tail", "schedule"]


@dataclass(frozen=True)
class Definition:
    """An aggregate before it is built.

    Attributes:
        name: of its table.
        path: schemas where names without one are looked up.
        base: schema and name of the table that it is made of; `None` where that is a query.
        filters: columns of it that readers filter by.
        upkeep: `notes`: triggers note what changes. `tail`: rows are only added, at the end of time. `schedule`: all of
            it is made anew.
        every_seconds: how often it is looked at.
        tail: the key of time whose end rows are added to.
        late_seconds: how late such rows may come.
    """

    name: str
    view: View
    path: tuple[str, ...]
    base: tuple[str, str] | None
    filters: tuple[str, ...] = ()
    upkeep: Upkeep = "notes"
    every_seconds: int = EVERY_SECONDS
    tail: str | None = None
    late_seconds: int = 0

    @property
    def table(self) -> str:
        """Its table, as SQL."""
        return full(self.name)

    @property
    def digest(self) -> str:
        """What stands for what it holds; two of the same digest have the same rows."""
        parts = [stored(self.settled_view), self.base or self.path]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def settled_view(self) -> View:
        """What answers statements: its relation is named with the schema where its names were looked up, if that is
        one."""
        if self.base is not None:
            return replace(self.view, relation=".".join(map(quoted, self.base)))
        source = self.view.relation if self.view.relation.startswith('"') else f"({self.view.relation})"
        tree = parsed(f"SELECT 1 FROM {source} AS t", self.view.engine)  # noqa: S608
        if len(self.path) != 1 or isinstance(tree, str):
            return self.view
        return replace(self.view, relation=relation_of(tree, self.view.engine, self.path[0]))

    @property
    def base_columns(self) -> list[str]:
        """The columns of its base that it needs."""
        names = {key.column for key in self.view.keys}
        for measure in self.view.measures:
            names |= {node.name for node in measure.argument.find_all(exp.Column)}
        return sorted(names)

    def select(self, where: str = "") -> str:
        """The query that makes its rows, of all of the base or of a part of it.

        Args:
            where: over the base's columns; it has to hold for all rows of a group, or for none.
        """
        relation = self.view.relation if self.base is None else ".".join(map(quoted, self.base))
        if where:
            source = relation if self.base is not None else f"({relation})"
            relation = f"SELECT * FROM {source} AS t WHERE {where}"  # noqa: S608  (identifiers and quoted constants)
        return replace(self.view, relation=relation).select()


def full(name: str) -> str:
    """A table of our schema, as SQL."""
    return f"{SCHEMA}.{quoted(name)}"


def checked_name(name: str) -> str:
    """A name that an aggregate may have.

    Raises:
        AggregateError: it may not.
    """
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise AggregateError(
            f"{name!r} cannot be the name of an aggregate: give at most 36 of a-z, 0-9 and _, which begin with a "
            "letter, and not with catalogue, note_, noted_, new_ or delta_"
        )
    return name


def view_of(sql: str, facts: Facts, name: str) -> View:
    """The aggregate that answers a statement.

    Raises:
        AggregateError: none could.
    """
    tree = parsed(sql, facts.engine)
    if isinstance(tree, str):
        raise AggregateError(tree)
    try:
        columns = base(tree, facts).columns
        return needs(shape_of(tree, facts.engine, columns)).view(full(name))
    except AggregateRefused as refused:
        raise AggregateError(f"no aggregate answers this statement: {refused}") from None


def named_base(view: View) -> str | None:
    """The table that an aggregate is made of, as SQL writes it; `None` where it is made of a query."""
    tree = parsed(f"SELECT 1 FROM {view.relation}", view.engine) if view.relation.startswith('"') else ""  # noqa: S608
    return view.relation if not isinstance(tree, str) and relation_of(tree, view.engine) == view.relation else None


def stored(view: View) -> dict[str, Any]:
    """An aggregate's definition as JSON has it."""
    return {
        "relation": view.relation,
        "keys": [[key.column, key.unit] for key in view.keys],
        "measures": [[one.function, one.argument.sql(dialect=view.engine)] for one in view.measures],
        "columns": {
            name: [str(one.kind), one.nullable, one.identical] for name, one in sorted(view.columns.items())
        },
    }  # fmt: skip


def restored(
    name: str, definition: Mapping[str, Any], types: Mapping[str, str], rows: int | None, distinct: Mapping[str, int],
    engine: str = ENGINE,
) -> View:  # fmt: skip
    """An aggregate as it was stored, with what is known of its table."""
    measures = tuple(Measure(function, _expression(sql, engine)) for function, sql in definition["measures"])
    columns = {
        column: Column(column, Kind(kind), is_null, is_identical)
        for column, (kind, is_null, is_identical) in definition["columns"].items()
    }
    keys = tuple(Key(column, unit) for column, unit in definition["keys"])
    view = View(engine, definition["relation"], full(name), keys, measures, columns, rows, distinct)
    return view.typed(types) if set(view.names.values()) <= set(types) else view


def refuse_unstorable(view: View) -> None:
    """Check that an aggregate is the same once it was stored.

    Raises:
        AggregateError: it is not.
    """
    if restored("same", json.loads(json.dumps(stored(view))), {}, None, {}, view.engine).measures != view.measures:
        raise AggregateError("a measure of the aggregate cannot be written down")


def indexed(view: View, names: Sequence[str]) -> tuple[str, ...]:
    """Columns of an aggregate by which readers filter, from names of these or of the base's columns.

    Raises:
        AggregateError: there is no such key.
    """
    by_column = {key.column: view.names[key] for key in view.keys}
    own = {view.names[key]: view.names[key] for key in view.keys}
    unknown = [name for name in names if name not in {**by_column, **own}]
    if unknown:
        raise AggregateError(f"{', '.join(unknown)}: no key of the aggregate")
    return tuple(dict.fromkeys({**by_column, **own}[name] for name in names))


def _expression(sql: str, engine: str) -> exp.Expression:
    tree = parsed(f"SELECT {sql}", engine)
    if isinstance(tree, str):
        raise AggregateError(f"a measure in the catalogue cannot be read: {tree}")
    node: exp.Expression = tree.expressions[0]
    return node

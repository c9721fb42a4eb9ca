"""The part of a base that has to be read again: conditions on keys alone, so that they hold for whole groups.

Conditions are of a kind that an index of the base serves, and may hold for more groups than were noted: each group that
is read is read as a whole, and made anew from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.aggregates.tables.adding import READ, delta
from superset_ext.aggregates.tables.definition import Definition
from superset_ext.aggregates.tables.making import types_of
from superset_ext.aggregates.view import Key, quoted
from superset_ext.core.sql_folder import query_text
from superset_ext.plans.rewrite.facts import Kind

MOST_VALUES = 1000  # of a key that are named one by one
MOST_RANGES = 32
_ORDERED = {Kind.INTEGER, Kind.DECIMAL, Kind.NUMERIC, Kind.FLOAT, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ}


@dataclass(frozen=True)
class Condition:
    """A condition on one key.

    Attributes:
        base: over a row of the base.
        table: over a row of the aggregate.
        name: of the key's column in the aggregate.
        values: how many were noted, NULL among them.
        is_exact: whether it holds for just those values.
    """

    base: str
    table: str
    name: str
    values: int
    is_exact: bool


@dataclass(frozen=True)
class Region:
    """Groups that are read from the base.

    Attributes:
        conditions: which these are.
    """

    conditions: tuple[Condition, ...]

    @property
    def base(self) -> str:
        """All conditions over a row of the base; empty where there are none."""
        return " AND ".join(f"({one.base})" for one in self.conditions)

    @property
    def table(self) -> str:
        """All conditions over a row of the aggregate."""
        return " AND ".join(f"({one.table})" for one in self.conditions)


def region(cursor: Any, definition: Definition) -> Region:
    """The groups that notes name and that have to be read."""
    view, table = definition.view, delta(definition.name)
    if not view.keys:
        return Region(())
    parts = []
    for name in (quoted(view.names[key]) for key in view.keys):
        values = f"array_agg(DISTINCT {name}) FILTER (WHERE {name} IS NOT NULL)"
        parts += [f"count(DISTINCT {name})", f"{values}::text", f"bool_or({name} IS NULL)"]
    cursor.execute(f"SELECT {', '.join(parts)} FROM {table} WHERE {READ}")  # noqa: S608
    known = cursor.fetchone()
    types = types_of(cursor, table)
    triples = [known[place : place + 3] for place in range(0, len(known), 3)]
    conditions = (
        _condition(cursor, definition, key, types[view.names[key]], *triple)
        for key, triple in zip(view.keys, triples, strict=True)
    )
    return Region(tuple(one for one in conditions if one is not None))


def _condition(
    cursor: Any, definition: Definition, key: Key, type_: str, count: int, values: str | None, has_null: bool
) -> Condition | None:  # fmt: skip
    """What holds for the rows of groups with these values of a key; `None` where there are too many to say."""
    base, table = quoted(key.column), quoted(definition.view.names[key])
    if key.unit is not None:
        texts, exact = _of_grain(cursor, key.unit, values)
    elif count <= MOST_VALUES:
        texts, exact = [f"{{0}} = ANY ({_quoted(cursor, values, f'{type_}[]')})"] if values else [], True
    elif definition.view.columns[key.column].kind in _ORDERED:
        texts, exact = [_between(cursor, values, type_)], False
    else:
        return None
    texts += ["{0} IS NULL"] if has_null else []
    text = " OR ".join(texts)
    return Condition(
        text.format(base), text.format(table), definition.view.names[key], count + has_null, exact or not count
    )


def _of_grain(cursor: Any, unit: str, values: str | None) -> tuple[list[str], bool]:
    """Ranges of time, each from the first moment of a grain, and whether they hold for just those grains."""
    if values is None:
        return [], True
    grain = "3 months" if unit == "quarter" else f"1 {unit}"
    cursor.execute(query_text("aggregate_islands"), {"moments": values, "grain": grain})
    islands: Sequence[tuple[str, str]] = cursor.fetchall()
    is_exact = len(islands) <= MOST_RANGES
    if not is_exact:
        islands = [(islands[0][0], islands[-1][1])]
    texts = [f"{{0}} >= {_quoted(cursor, low, 'timestamp')} AND {{0}} < {_quoted(cursor, high, 'timestamp')}"
             for low, high in islands]  # fmt: skip
    ends = sorted({"infinity", "-infinity"} & set(values.strip("{}").split(",")))  # they lie in no range
    return [*texts, *(f"{{0}} = {_quoted(cursor, end, 'timestamp')}" for end in ends)], is_exact


def _between(cursor: Any, values: str | None, type_: str) -> str:
    cursor.execute(f"SELECT min(v)::text, max(v)::text FROM unnest(%s::{type_}[]) AS v", (values,))  # noqa: S608
    low, high = cursor.fetchone()
    return f"{{0}} BETWEEN {_quoted(cursor, low, type_)} AND {_quoted(cursor, high, type_)}"


def _quoted(cursor: Any, value: str | None, type_: str) -> str:
    """A constant, as text that stands in a format."""
    text = cursor.mogrify("%s", (value,)).decode()
    return f"{text}::{type_}".replace("{", "{{").replace("}", "}}")

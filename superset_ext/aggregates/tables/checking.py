"""Compares all of an aggregate with what its query gives, within one snapshot; a difference switches it off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superset_ext.aggregates.tables.catalogue import named
from superset_ext.aggregates.tables.definition import Definition
from superset_ext.aggregates.tables.refreshing import refresh, refresh_within, source, switch_off
from superset_ext.aggregates.tables.transaction import transaction
from superset_ext.aggregates.view import Measure, quoted
from superset_ext.core.amount import amount

# A part of a table that is attached meanwhile is seen by one half of the comparison and not by the other.
_TIMES = 2
_CHECKED = "UPDATE superset_ext_aggregates.catalogue SET checked_at = clock_timestamp() WHERE name = %s"
_FLOATS = ("double precision", "real")


@dataclass(frozen=True)
class Checked:
    """What a comparison came to.

    Attributes:
        differences: rows of one side that the other one has not.
        not_compared: columns that were left out: sums of floating point numbers differ in their last digits by the
            order in which they are added up.
    """

    name: str
    differences: int
    not_compared: tuple[str, ...] = ()


def check(connection: Any, name: str) -> Checked:
    """Bring an aggregate up to date and compare all of it with its base; switch it off if it differs.

    Raises:
        AggregateError: there is none, it is off, or it cannot be compared.
    """
    refresh(connection, name)
    for _ in range(_TIMES):
        checked = _compared(connection, name)
        if not checked.differences:
            return checked
    switch_off(
        connection, name, f"{amount(checked.differences, 'row')} differed from its base when all of it was compared"
    )
    return checked


def _compared(connection: Any, name: str) -> Checked:
    with transaction(connection) as cursor:
        definition = named(cursor, name).definition
    with transaction(connection, definition.path, base=source(definition)) as cursor:
        if definition.upkeep == "notes":
            refresh_within(cursor, definition, whole=False)
        definition = named(cursor, name).definition
        columns, left_out = _columns(definition)
        cursor.execute(text(definition, columns))
        checked = Checked(name, cursor.fetchone()[0], left_out)
        cursor.execute(_CHECKED, (name,))
        return checked


def _columns(definition: Definition) -> tuple[list[str], tuple[str, ...]]:
    names = definition.view.names
    loose = tuple(names[one] for one in names
                  if isinstance(one, Measure) and one.function == "sum" and one.type in _FLOATS)  # fmt: skip
    return [name for name in names.values() if name not in loose], loose


def text(definition: Definition, columns: list[str]) -> str:
    """The one statement that counts differences, in both directions."""
    chosen = ", ".join(["n", *map(quoted, columns)])
    own = f"SELECT {chosen} FROM {definition.view.table}"  # noqa: S608  (identifiers)
    base = f"SELECT {chosen} FROM ({definition.select()}) AS made"  # noqa: S608
    return f"SELECT count(*) FROM (({own} EXCEPT ALL {base}) UNION ALL ({base} EXCEPT ALL {own})) AS differences"  # noqa: S608

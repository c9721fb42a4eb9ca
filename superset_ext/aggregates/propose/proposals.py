"""From what was asked of a source to aggregates that are worth building. The source is read, and nothing is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from superset_ext.aggregates.over import EXACT, Allowed
from superset_ext.aggregates.propose.asks import Asked, read
from superset_ext.aggregates.propose.considering import Considering, Proposed, first_table
from superset_ext.aggregates.propose.rows import Source
from superset_ext.aggregates.view import View
from superset_ext.plans.indexes.catalog import read_catalog
from superset_ext.plans.rewrite.catalogue.postgresql import PostgreSQL
from superset_ext.plans.rewrite.facts import Facts

_PATH = "SELECT set_config('search_path', concat_ws(',', quote_ident(%s), %s), true)"


def propose(
    cursor: Any, asked: Sequence[Asked], budget: float | None = None, allowed: Allowed = EXACT,
    held: Sequence[View] = (),
) -> Proposed:  # fmt: skip
    """The aggregates that would save most for their bytes.

    Args:
        cursor: of a transaction of the source that may only read.
        budget: bytes that they may take in all; by default a tenth of the tables that are asked, and 16 MiB at least.
        allowed: what answers may differ by.
        held: aggregates that are built; what they answer needs no other one.

    Raises:
        Exception: whatever the driver raises.
    """
    cursor.execute("SELECT current_setting('timezone'), current_setting('search_path')")
    zone, path = cursor.fetchone()
    considering = Considering(replace(allowed, zone=zone), held)
    for schema in sorted({one.schema or "" for one in asked}):
        cursor.execute(_PATH, (schema or None, path))
        facts = PostgreSQL(lambda sql, values: _rows(cursor, sql, values))
        own = [one for one in asked if (one.schema or "") == schema]
        asks, refused = read(own, partial(_same, facts), zone)
        considering.refused += refused
        considering.take(asks, Source(cursor))
    return considering.chosen(sum(one.seconds for one in asked), budget, lambda relation: _writes(cursor, relation))


def _same(facts: Facts, _schema: str | None) -> Facts:
    return facts


def _rows(cursor: Any, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
    cursor.execute(sql, values)
    return list(cursor.fetchall())


def _writes(cursor: Any, relation: str) -> float | None:
    """Rows of its table written a day."""
    named = first_table(relation) if relation.startswith('"') else None
    if named is None:
        return None
    tables = read_catalog(cursor, [named.name]).tables
    own = [one for one in tables if one.name.schema == named.db or (not named.db and one.visible)]
    return own[0].writes_a_day if own else None

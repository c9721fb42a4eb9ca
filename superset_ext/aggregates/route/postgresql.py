"""A look at a PostgreSQL source: which aggregates it has, and what names mean in Superset's sessions."""

from __future__ import annotations

from time import monotonic
from typing import Any

from sqlglot import exp

from superset_ext.aggregates.route.looked import Known, Looked, Named
from superset_ext.aggregates.tables.catalogue import Kept, kept
from superset_ext.aggregates.tables.definition import ENGINE
from superset_ext.aggregates.tables.transaction import transaction
from superset_ext.aggregates.view import quoted
from superset_ext.freshness.watch.source import connect
from superset_ext.plans.rewrite.rewriting import parsed

_SESSION = "SELECT current_setting('TimeZone'), current_database()::text, current_schemas(false)::text[]"
_MEANT = """
SELECT e.written, n.nspname::text, r.relname::text FROM unnest(%s::text[]) AS e (written)
JOIN pg_class r ON r.oid = to_regclass(e.written) JOIN pg_namespace n ON n.oid = r.relnamespace
"""


def look(app: Any, database_id: int) -> tuple[Looked, list[Kept]]:
    """See `engines.Engine`."""
    with connect(app, database_id) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            zone, database, path = cursor.fetchone()
        with transaction(connection) as cursor:
            all_kept = kept(cursor)
            ready = [one for one in all_kept if one.state == "ready" and one.built_at is not None]
            known = [fit for one in ready if (fit := _known(cursor, one)) is not None]
    return Looked(known, zone, database, path), all_kept


def _known(cursor: Any, one: Kept) -> Known | None:
    """An aggregate with the tables of its query; `None` where these are not sure."""
    if one.definition.base is not None:
        return Known(one, (), monotonic())
    written = _written(one.view.relation)
    if not written:
        return None
    cursor.execute(f"SET LOCAL search_path = {', '.join(map(quoted, one.definition.path)) or 'pg_catalog'}")
    cursor.execute(_MEANT, (written,))
    tables: list[Named] = [(text, schema, name) for text, schema, name in cursor.fetchall()]
    return Known(one, tuple(tables), monotonic()) if len(tables) == len(written) else None


def _written(query: str) -> list[str]:
    """The tables that a query names, as `to_regclass` takes them; none where it names others than tables."""
    tree = parsed(query, ENGINE)
    if isinstance(tree, str) or tree.find(exp.CTE):
        return []
    tables = list(tree.find_all(exp.Table))
    if not all(isinstance(table.this, exp.Identifier) for table in tables):
        return []
    parts = [(table.args.get("catalog"), table.args.get("db"), table.this) for table in tables]
    return sorted({".".join(part.sql(dialect=ENGINE) for part in names if part) for names in parts})

"""The tables of a DuckDB source that an aggregate is made of, as a connection means their names."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from superset_ext.aggregates.files.session import rows_of
from superset_ext.aggregates.names import folded
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import AggregateError
from superset_ext.plans.rewrite.rewriting import parsed

ENGINE = "duckdb"
_SHADOWS = """
SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type LIKE '%macro' AND NOT internal
INTERSECT SELECT lower(function_name) FROM duckdb_functions() WHERE internal ORDER BY 1
"""
Base = tuple[str, str, str]  # schema, name, and the statement that makes it


def bases_of(cursor: Any, relation: str, schema: str) -> list[Base]:
    """The tables that a relation reads, which is a table or a query.

    Args:
        schema: where names without one are looked up.

    Raises:
        AggregateError: it reads others than tables of the source's own file.
    """
    names = _names(relation, schema)
    rows = rows_of(cursor, query_text("duckdb_named_relations"), [sorted({name for _, name in names})])
    return [_base(rows, place, name) for place, name in names]


def refuse_shadows(cursor: Any) -> None:
    """Check that functions are DuckDB's own. It takes too long for each chart, but macros are in the source's file.

    Raises:
        AggregateError: a macro has the name of one, so that `avg` may be anything.
    """
    names = [row[0] for row in rows_of(cursor, _SHADOWS)]
    if names:
        raise AggregateError(f"a macro has the name of a function of DuckDB: {', '.join(names[:3])}")


def _names(relation: str, schema: str) -> list[tuple[str, str]]:
    source = relation if relation.startswith('"') else f"({relation})"
    tree = parsed(f"SELECT 1 FROM {source} AS t", ENGINE)  # noqa: S608  (a relation as it was read)
    if isinstance(tree, str) or tree.find(exp.CTE):
        raise AggregateError("it is made of a query with WITH, or of one that cannot be read")
    tables = list(tree.find_all(exp.Table))
    if not all(isinstance(one.this, exp.Identifier) and not one.args.get("catalog") for one in tables):
        raise AggregateError(
            "it reads others than tables of the source's own file: a function, a file or another database"
        )
    parts = {(folded(one.args.get("db"), ENGINE) or schema, folded(one.this, ENGINE)) for one in tables}
    return sorted(parts)


def _base(rows: list[Any], schema: str, name: str) -> Base:
    same = [row for row in rows if (row[1], row[2]) == (schema, name)]
    if not same:
        raise AggregateError(f"there is no table {schema}.{name}")
    is_own, _, _, is_table, sql = same[0]
    if len(same) > 1 or not is_own:
        raise AggregateError(f"{schema}.{name} may mean a table of another database that is attached")
    if not is_table:
        raise AggregateError(f"{schema}.{name} is no table of the source's file: a view may read other files")
    if "GENERATED ALWAYS" in sql:
        raise AggregateError(f"{schema}.{name} has a generated column, which may be another value each time")
    return schema, name, sql

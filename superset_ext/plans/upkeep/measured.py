"""Room that was estimated, measured by pgstattuple where the source has it and the role may call it.

What is measured is what an estimate has named, and no more than a few of these: pgstattuple reads pages that are not
all visible, and of an index all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import sql

from superset_ext.plans.upkeep.check import Finding, Verdict

MOST = 5  # of a check
SECONDS = 5  # that each may take; else the estimate stays
_MEBI = 2**20
# Its functions are for superusers and pg_stat_scan_tables, unless somebody has granted them.
_WHERE = """
SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pgstattuple' AND has_schema_privilege(n.oid, 'USAGE')
    AND has_function_privilege(to_regprocedure(format('%%I.%s(regclass)', n.nspname))::oid, 'EXECUTE')
"""
Ask = Callable[[Any, str, str], tuple[float, float] | None]


def tables(cursor: Any, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The findings of tables, measured: what dead rows and free room take."""
    text = "SELECT table_len::float8, (table_len - approx_free_space - dead_tuple_len)::float8 FROM {}.{}(%s::regclass)"
    return _measured(cursor, verdicts, "pgstattuple_approx", text)


def indexes(cursor: Any, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The findings of indexes, measured: what their leaves would take at the density of a new one."""
    text = (
        "SELECT index_size::float8, (index_size - (leaf_pages * (1 - least(avg_leaf_density / 90, 1)) + empty_pages "
        "+ deleted_pages) * current_setting('block_size')::float8) FROM {}.{}(%s::regclass) WHERE avg_leaf_density > 0"
    )
    return _measured(cursor, verdicts, "pgstatindex", text)


def _measured(cursor: Any, verdicts: Sequence[Verdict], function: str, text: str) -> list[Verdict]:
    findings = [verdict for verdict in verdicts if isinstance(verdict, Finding)][:MOST]
    results = {finding.subject: _ask(cursor, finding.subject, function, text) for finding in findings}
    return [
        _with(verdict, *result)
        if isinstance(verdict, Finding) and (result := results.get(verdict.subject))
        else verdict
        for verdict in verdicts
    ]


def _ask(cursor: Any, relation: str, function: str, text: str) -> tuple[float, float] | None:
    """Bytes that it takes, and bytes that are used; `None` where that cannot be asked."""
    cursor.execute("SAVEPOINT measured")
    try:
        cursor.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
        cursor.execute(_WHERE % function)
        row = cursor.fetchone()
        if row is None:
            return None
        cursor.execute(sql.SQL(text).format(sql.Identifier(row[0]), sql.Identifier(function)), (relation,))
        row = cursor.fetchone()
        return (float(row[0]), float(row[1])) if row else None
    except psycopg2.Error:
        if cursor.connection.closed:
            raise
        return None
    finally:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK TO SAVEPOINT measured")


def _with(finding: Finding, size: float, used: float) -> Finding:
    measured = f" Measured by pgstattuple: {used / _MEBI:,.0f} of {size / _MEBI:,.0f} MiB are in use."
    numbers = {**finding.numbers, "measured_bytes": size, "measured_used": used}
    return replace(finding, evidence=finding.evidence + measured, numbers=numbers)

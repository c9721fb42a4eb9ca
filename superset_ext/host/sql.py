"""SQL as Superset parses it."""

from __future__ import annotations

from typing import Any

from superset_ext.sqltables.statement import silent_parser


@silent_parser()
def parsed(sql: str, engine: str) -> Any | None:
    """Superset's `SQLScript` of the SQL, or `None` if it cannot be parsed."""
    from superset.exceptions import SupersetParseError
    from superset.sql.parse import SQLScript

    try:
        return SQLScript(sql, engine)
    except SupersetParseError:
        return None

"""Which dashboards a request has read the contents of: layout, colors, style, and who changed them when.

Such contents change often, and matter to who has read that very row. SQLAlchemy tells of each object that it makes of
a row. A statement that may read or compare contents in another way counts as one that has read every dashboard.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from superset_ext.cache import used
from superset_ext.core.signals import count_failure

CONTENTS = ("json_metadata", "position_json", "css", "changed_on", "changed_by_fk")  # as in `sql/grants`
_NAMES = "|".join(CONTENTS)
_MENTION = re.compile(rf"\b(?:{_NAMES})\b")
# A column in a list of what is selected, under the name that SQLAlchemy gives it.
_SELECTED = re.compile(rf"\b(\w+)\.({_NAMES}) AS \1_\2\b")
_QUALIFIED = re.compile(rf"\b(\w+?)(?:_\d+)?\.(?:{_NAMES})\b")


def watch_dashboards(engine: Any) -> None:
    """Note from now on, for a request that is watched, which dashboards it reads; the engine is of the metadata."""
    from sqlalchemy import event

    from superset_ext.host.models import Dashboard

    for name in ("load", "refresh"):
        if not event.contains(Dashboard, name, _made):
            event.listen(Dashboard, name, _made)
    event.listen(engine, "before_cursor_execute", _sent)


def _made(dashboard: Any, *_: Any) -> None:
    from sqlalchemy import inspect

    noted = used.watched.get()
    if noted is not None and noted.dashboards is not None:
        try:
            noted.dashboards.add(inspect(dashboard).identity[0])
        except Exception as error:  # noqa: BLE001  (SQLAlchemy would fail what a person does)
            noted.dashboards = None
            count_failure("noting which dashboards are read", error)


def _sent(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
    noted = used.watched.get()
    if noted is None or noted.dashboards is None or "dashboards" not in statement:
        return
    compiled = getattr(context, "compiled", None)
    if reads_contents(statement, makes_objects(getattr(compiled, "statement", None))):
        noted.dashboards = None


def makes_objects(statement: Any) -> bool:
    """Whether all that a statement selects are objects, of which SQLAlchemy tells."""
    try:
        selected = statement.column_descriptions
    except Exception:  # noqa: BLE001  (text, or what selects nothing)
        return False
    return all(one.get("entity") is not None and one["expr"] is one["entity"] for one in selected)


@lru_cache(maxsize=1000)
def reads_contents(statement: str, is_of_objects: bool) -> bool:
    """Whether a statement may have read or compared contents of dashboards that it made no object of.

    Args:
        statement: its text, in which values are parameters.
        is_of_objects: whether all that it selects are objects.
    """
    if not re.search(r"\bdashboards\b", statement):
        return False
    if not is_of_objects and re.search(r"(?<!\()\*", statement):
        return True
    others = _other_tables()
    rest = _SELECTED.sub(lambda match: match[0] if not is_of_objects else "", statement)
    rest = _QUALIFIED.sub(lambda match: "" if match[1] in others else match[0], rest)
    return _MENTION.search(rest) is not None


@lru_cache(maxsize=1)
def _other_tables() -> frozenset[str]:
    from flask_appbuilder import Model

    return frozenset({table.name for table in Model.metadata.tables.values()} - {"dashboards"})

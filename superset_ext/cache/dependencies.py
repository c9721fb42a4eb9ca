"""What a value that is to be stored was read from: its tags, and the rule that its lifetime follows.

The tables come from the SQL that really ran. What they are made of in turn (views, partitions) is for the source
to say: `follow` is set by whoever can ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from superset_ext.cache.query import Query
from superset_ext.cache.rules import Subject, matching, usage_tag
from superset_ext.cache.tags import ALL, ANY, RULE, USAGE, object_tag, table_tag, tables_tag
from superset_ext.settings import Operation, Rule, Settings
from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.table import Table

Follow = Callable[[Any, frozenset[Table]], "Collection[Table] | None"]
follow: Follow | None = None  # a datasource and the tables that its SQL names to all that they depend on
_MOST = 200  # tables of one entry; beyond, any change of their database drops it, so that a read stays cheap


@dataclass(frozen=True, slots=True)
class Depends:
    """What a value depends on.

    Attributes:
        tags: what it carries, sorted.
        rule: what it follows, `None` for the settings alone.
    """

    tags: tuple[str, ...]
    rule: Rule | None


def depends(value: Any, query: Query | None, settings: Settings) -> Depends:
    """The tags and the rule of a value of chart_data."""
    sql = value.get("query") if isinstance(value, dict) else None
    scope = query.scope if query else None
    if not isinstance(sql, str) or not sql or scope is None or scope.database_id is None:
        return _told({ANY}, query, None)
    tables = _tables(sql, query.source if query else None)
    rule = matching(settings.rules, _subject(query, tables, sql)) if settings.rules else None
    return _told(_table_tags(scope.database_id, tables), query, rule)


def for_operations(tag: str, operations: Collection[Operation]) -> tuple[str, ...]:
    """What is carried in a tag's place by entries that only some operations invalidate."""
    return (tag,) if "@" in tag else tuple(f"{tag}@{operation}" for operation in operations)


def _tables(sql: str, source: Any) -> Collection[Table] | None:
    engine = getattr(getattr(getattr(source, "database", None), "db_engine_spec", None), "engine", None)
    named = read_tables(sql, engine) if engine else None
    return named if named is None or follow is None else follow(source, named)


def _table_tags(database_id: int, tables: Collection[Table] | None) -> set[str]:
    if not tables or len(tables) > _MOST:
        return {tables_tag(database_id)}
    return {table_tag(database_id, table) for table in tables}


def _subject(query: Query | None, tables: Collection[Table] | None, sql: str) -> Subject:
    source = query.source if query else None
    database = getattr(getattr(source, "database", None), "database_name", None)
    return Subject(query.scope.dataset_id if query else None, getattr(source, "name", None), database, tables, sql)


def _told(read: set[str], query: Query | None, rule: Rule | None) -> Depends:
    """The whole of the tags, which the outer query of this one carries too."""
    if query is not None:
        read |= {tag for tag in query.tags if not tag.startswith((USAGE, RULE))} | _objects(query)
        query.tags |= read
    if rule is not None and rule.invalidate_on is not None:
        read = {each for tag in read for each in for_operations(tag, rule.invalidate_on)}
    last = (f"{RULE}{rule.name}" if rule else None, usage_tag(rule))
    return Depends((ALL, *sorted(read - {ALL}), *(tag for tag in last if tag)), rule)


def _objects(query: Query) -> set[str]:
    scope = query.scope
    ids = {
        "dataset": scope.dataset_id, "database": scope.database_id, "chart": scope.chart_id,
        "dashboard": scope.dashboard_id,
    }  # fmt: skip
    return {object_tag(kind, number) for kind, number in ids.items() if number is not None}

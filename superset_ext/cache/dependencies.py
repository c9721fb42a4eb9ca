"""What a value that is to be stored was read from: its tags, and the rule that its lifetime follows.

The tables come from the SQL that was really sent (see `cache.sent`), and from what Superset has stored where nothing
noted that. What they are made of in turn (views, partitions) only the source knows: `follow` is set by what can ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from superset_ext.cache.query import Query
from superset_ext.cache.rules import Subject, matching, usage_tag
from superset_ext.cache.tags import ALL, ANY, RULE, USAGE, scope_tags, table_tags
from superset_ext.settings import Operation, Rule, Settings
from superset_ext.sqltables.reads import read_tables
from superset_ext.sqltables.table import Table

_Read = tuple[int, "Collection[Table] | None"]  # a database's id, and the tables of it that were read
Follow = Callable[[Any, frozenset[Table]], "Collection[Table] | None"]
follow: Follow | None = None  # a datasource and the tables that its SQL names to all that they depend on


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
    """The tags and the rule of a value of chart_data; the query, and so its outer one, depends on them too."""
    sql = value.get("query") if isinstance(value, dict) else None
    if query is None:
        return _carried({ANY}, None)
    rule, tags = None, {ANY}
    if isinstance(sql, str) and sql and query.scope.database_id is not None:
        texts = [(sent, sent.sql if sent.known else "") for sent in query.sent] or [(query.source, sql)]
        read = [_read(*text, query.scope.database_id) for text in texts]
        rule = matching(settings.rules, _subject(query, _together(read), sql)) if settings.rules else None
        tags = set().union(*(table_tags(database_id, tables) for database_id, tables in read))
    tags |= scope_tags(query.scope) | query.opened
    tags |= {tag for tag in query.tags if not tag.startswith((USAGE, RULE))}
    query.tags |= tags
    return _carried(tags, rule)


def for_operations(tag: str, operations: Collection[Operation]) -> tuple[str, ...]:
    """What an entry carries in place of a tag if only some operations invalidate it."""
    return (tag,) if "@" in tag else tuple(f"{tag}@{operation}" for operation in operations)


def _read(source: Any, sql: str, database_id: int) -> _Read:
    """What a text reads that was sent where `source` asks: a datasource, or a `Sent`."""
    database = getattr(source, "database", None)
    engine = getattr(getattr(database, "db_engine_spec", None), "engine", None)
    named = read_tables(sql, engine) if engine else None
    place = getattr(database, "id", None) or database_id
    return place, named if named is None or follow is None else follow(source, named)


def _together(read: Collection[_Read]) -> Collection[Table] | None:
    """All tables of several texts, `None` where those of one cannot be known."""
    tables: set[Table] = set()
    for _, some in read:
        if some is None:
            return None
        tables.update(some)
    return tables


def _subject(query: Query, tables: Collection[Table] | None, sql: str) -> Subject:
    source = query.source
    database = getattr(getattr(source, "database", None), "database_name", None)
    return Subject(query.scope.dataset_id, getattr(source, "name", None), database, tables, sql)


def _carried(tags: set[str], rule: Rule | None) -> Depends:
    """The tags as an entry carries them: `all` first, and last what concerns its rule."""
    if rule is None:
        return Depends((ALL, *sorted(tags - {ALL})), None)
    if rule.invalidate_on is not None:
        tags = {variant for tag in tags for variant in for_operations(tag, rule.invalidate_on)}
    usage = usage_tag(rule)
    return Depends((ALL, *sorted(tags - {ALL}), f"{RULE}{rule.name}", *([usage] if usage else [])), rule)

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
from superset_ext.sqltables.reads import Reads, reads
from superset_ext.sqltables.table import Table

Follow = Callable[[Any, frozenset[Table]], "Collection[Table] | None"]
follow: Follow | None = None  # a datasource and the tables that its SQL names to all that they depend on
LookThrough = Callable[[Any, Reads], "set[str]"]
look_through: LookThrough | None = None  # a datasource and what its SQL reads to the tags of what lies elsewhere


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
        tables, tags = _read(texts, query.scope.database_id)
        rule = matching(settings.rules, _subject(query, tables, sql)) if settings.rules else None
    tags |= scope_tags(query.scope) | query.opened
    tags |= {tag for tag in query.tags if not tag.startswith((USAGE, RULE))}
    query.tags |= tags
    return _carried(tags, rule)


def variants(tags: Collection[str], operations: Collection[Operation]) -> set[str]:
    """What is stamped beside some tags for entries that only some operations invalidate."""
    return {variant for tag in tags if tag != ALL for variant in for_operations(tag, operations)}


def for_operations(tag: str, operations: Collection[Operation]) -> tuple[str, ...]:
    """What an entry carries in place of a tag if only some operations invalidate it."""
    return (tag,) if "@" in tag else tuple(f"{tag}@{operation}" for operation in operations)


def _read(texts: Collection[tuple[Any, str]], database_id: int) -> tuple[Collection[Table] | None, set[str]]:
    """All tables that some texts read, `None` where those of one cannot be known, and the tags of all of it.

    Args:
        texts: each with where it was sent: a datasource, or a `Sent`.
        database_id: where that does not say.
    """
    together: set[Table] = set()
    tags: set[str] = set()
    known = True
    for source, sql in texts:
        database = getattr(source, "database", None)
        engine = getattr(getattr(database, "db_engine_spec", None), "engine", None)
        read = reads(sql, engine) if engine else Reads(None)
        named = read.tables
        tables = named if named is None or follow is None else follow(source, named)
        tags |= _elsewhere(source, read) | table_tags(getattr(database, "id", None) or database_id, tables)
        known, together = known and tables is not None, together | set(tables or ())
    return (together if known else None), tags


def _elsewhere(source: Any, read: Reads) -> set[str]:
    """The tags of what SQL reads of other databases."""
    if read.beyond:
        return {ANY}
    return set() if look_through is None else look_through(source, read)


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

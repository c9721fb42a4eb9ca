"""Which column of which table a name in a statement stands for, through subqueries and common table expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from superset_ext.plans.indexes.catalog import Catalog, Table

_DEEPEST = 20  # subqueries that a name is followed through


@dataclass(eq=False)
class Place:
    """One mention of a table in a statement."""

    table: Table


@dataclass(frozen=True)
class Sources:
    """What a SELECT reads from, by alias: tables, and queries whose columns are followed."""

    places: dict[str, Place] = field(default_factory=dict)
    queries: dict[str, exp.Expression] = field(default_factory=dict)


class Names:
    """The names of one statement.

    Args:
        tree: the statement as sqlglot parses it.
    """

    def __init__(self, tree: exp.Expression, catalog: Catalog) -> None:
        self._catalog = catalog
        self._sources: dict[int, Sources] = {}
        self.selects = list(tree.find_all(exp.Select))
        for select in self.selects:
            self._sources[id(select)] = self._read(select)

    def sources(self, select: exp.Expression) -> Sources:
        """What a SELECT of the statement reads from."""
        return self._sources[id(select)]

    def column(self, column: exp.Expression, select: exp.Expression, depth: int = 0) -> tuple[Place, str] | None:
        """The mention of a table, and the column of it, that a name in a SELECT stands for; `None` for another thing.

        What a subquery computes is no column. A name that the SELECT does not know is one of those around it.
        """
        if depth > _DEEPEST or not isinstance(column, exp.Column):
            return None
        scope: exp.Expression | None = select
        while scope is not None:
            known, meaning = self._within(column, scope, depth)
            if known:
                return meaning
            scope = scope.find_ancestor(exp.Select)
        return None

    def _within(self, column: exp.Column, select: exp.Expression, depth: int) -> tuple[bool, tuple[Place, str] | None]:
        """Whether a SELECT knows a name, and what it stands for."""
        sources = self._sources[id(select)]
        aliases = [column.table] if column.table else [*sources.places, *sources.queries]
        for alias in aliases:
            if (place := sources.places.get(alias)) is not None and column.name in place.table.columns:
                return True, (place, column.name)
            if (query := sources.queries.get(alias)) is not None:
                known, meaning = self._computed(column.name, query, depth)
                if known:
                    return True, meaning
        return False, None

    def _computed(self, name: str, query: exp.Expression, depth: int) -> tuple[bool, tuple[Place, str] | None]:
        """What a subquery returns under a name. Of a UNION nothing is followed."""
        if not isinstance(query, exp.Select):
            return isinstance(query, exp.Query) and name in query.named_selects, None
        for projection in query.selects:
            if projection.is_star:
                meaning = self.column(exp.column(name), query, depth + 1)
                if meaning is not None:
                    return True, meaning
            elif projection.alias_or_name == name:
                return True, self.column(unlabelled(projection), query, depth + 1)
        return False, None

    def _read(self, select: exp.Select) -> Sources:
        sources = Sources()
        for item in _items(select):
            alias = item.alias_or_name
            query = item.this if isinstance(item, exp.Subquery) else self._common(item, select)
            if query is not None:
                sources.queries[alias] = query
            elif isinstance(item, exp.Table):
                table = self._catalog.table(item.name, item.db or None)
                if table is not None:
                    sources.places[alias] = Place(table)
        return sources

    def _common(self, item: exp.Expression, select: exp.Expression) -> exp.Expression | None:
        """The query of the common table expression that a name in FROM means."""
        scope: exp.Expression | None = select
        while scope is not None and isinstance(item, exp.Table) and not item.db:
            for cte in getattr(scope, "ctes", []):
                if cte.alias == item.name and cte.find(exp.Select) is not select:
                    return cte.this  # type: ignore[no-any-return]
            scope = scope.parent
        return None


def unlabelled(node: exp.Expression) -> exp.Expression:
    """What a label of a list of columns stands for."""
    return node.this if isinstance(node, exp.Alias) else node


def _items(select: exp.Select) -> Iterator[exp.Expression]:
    """The tables and subqueries of FROM and of the joins."""
    start = select.args.get("from_") or select.args.get("from")
    if start is not None:
        yield start.this
    for join in select.args.get("joins") or []:
        yield join.this

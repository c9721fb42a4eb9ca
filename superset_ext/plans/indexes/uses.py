"""What a statement asks of each table that it mentions: what an index on it could answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from superset_ext.plans.indexes.catalog import Catalog, Table
from superset_ext.plans.indexes.index import Key, quoted
from superset_ext.plans.indexes.resolve import Names, Place, unlabelled
from superset_ext.sqltables.statement import LIMIT_BYTES, silent_parser

_EQUAL = (exp.EQ, exp.In, exp.NullSafeEQ, exp.Is)
_RANGE = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)
_UNITS_OF = (exp.TimestampTrunc, exp.DateTrunc)
# Functions of a column that are worth an index and give the same in every session.
_STEADY_TYPES = frozenset({"date", "timestamp without time zone"})
_MOST_TEXT = 8  # keys of a clause that are kept in their order


@dataclass
class Use:
    """What one mention of a table in a statement asks for.

    Attributes:
        equal: what is compared with a value or a list of values.
        ranges: what is compared by order.
        joined: what is equal to a column of another table.
        grouped: what GROUP BY names, in its order; empty where it names other tables too.
        ordered: the same of ORDER BY.
        columns: all columns that are read.
        constants: comparisons with values that the statement shows, as SQL, which all rows that it asks for fulfil.
    """

    table: Table
    equal: list[Key] = field(default_factory=list)
    ranges: list[Key] = field(default_factory=list)
    joined: list[Key] = field(default_factory=list)
    grouped: list[Key] = field(default_factory=list)
    ordered: list[Key] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)

    @property
    def leads(self) -> list[Key]:
        """What an index may begin with to be of use, each once."""
        return list(dict.fromkeys([*self.equal, *self.ranges, *self.joined, *self.grouped, *self.ordered]))


@silent_parser()
def tree_of(sql: str) -> exp.Query | None:
    """The statement as a tree; `None` where it is not one single query, or cannot be parsed."""
    if len(sql) > LIMIT_BYTES:
        return None
    try:
        trees = [tree for tree in parse(sql, dialect="postgres") if tree is not None]
    except (SqlglotError, RecursionError):
        return None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query) or _writes(trees[0]):
        return None
    return trees[0]


def _writes(tree: exp.Expression) -> bool:
    """Whether a query does more than read: writes within WITH, SELECT INTO, row locks."""
    return any(tree.find_all(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.Command))


def table_names(tree: exp.Expression) -> set[str]:
    """The bare names of all tables that a statement mentions."""
    return {table.name for table in tree.find_all(exp.Table)}


def uses_of(tree: exp.Expression, catalog: Catalog) -> list[Use]:
    """What the statement asks of each table that it mentions and the catalog knows."""
    names = Names(tree, catalog)
    uses = _Uses(names)
    for select in names.selects:
        uses.read(select)
    return list(uses.by_place.values())


class _Uses:
    def __init__(self, names: Names) -> None:
        self._names = names
        self.by_place: dict[int, Use] = {}

    def _use(self, place: Place) -> Use:
        return self.by_place.setdefault(id(place), Use(place.table))

    def read(self, select: exp.Select) -> None:
        """Read what belongs to a SELECT, without the queries within it."""
        for place in self._names.sources(select).places.values():
            self._use(place)
        for node in _own(select):
            if isinstance(node, exp.Column):
                self._column(node, select)
            elif isinstance(node, exp.Star):
                self._star(node, select)
            elif isinstance(node, (*_EQUAL, *_RANGE, exp.Like)) and _filters(node):
                self._comparison(node, select)
        self._clause(select, "group", "grouped")
        self._clause(select, "order", "ordered")

    def _column(self, node: exp.Column, select: exp.Select) -> None:
        if (meaning := self._names.column(node, select)) is not None:
            place, name = meaning
            self._use(place).columns.add(name)

    def _star(self, node: exp.Star, select: exp.Select) -> None:
        """Every column, where a star stands alone; that of COUNT(*) and of a query around is none."""
        if isinstance(node.parent, exp.Select) and select.parent is None:
            for place in self._names.sources(select).places.values():
                self._use(place).columns.update(place.table.columns)

    def _comparison(self, node: exp.Expression, select: exp.Select) -> None:
        sides = [node.this, *([node.expression] if isinstance(node, exp.Binary) else [])]
        keys = [self._key(side, select) for side in sides]
        for (place, key), other in _each_with_other(keys):
            use = self._use(place)
            if other is not None and other[0] is not place:
                use.joined.append(key) if isinstance(node, _EQUAL) else use.ranges.append(key)
            elif other is None and isinstance(node, exp.Like):
                use.ranges += [key] * _begins(node.expression)
            elif other is None and isinstance(node, _EQUAL):
                use.equal.append(key)
                use.constants.update(_constant(node, key))
            elif other is None:
                use.ranges.append(key)

    def _key(self, node: exp.Expression | None, select: exp.Select) -> tuple[Place, Key] | None:
        """The column, or the function of one column, that stands on one side of a comparison or in a clause."""
        while isinstance(node, exp.Paren):
            node = node.this
        meaning = self._names.column(node, select) if node is not None else None
        if meaning is not None:
            return meaning[0], Key(meaning[1])
        if isinstance(node, exp.Lower | exp.Upper | exp.Extract | exp.TimestampTrunc | exp.DateTrunc):
            return self._function(node, select)
        return None

    def _function(self, node: exp.Expression, select: exp.Select) -> tuple[Place, Key] | None:
        columns = list(node.find_all(exp.Column))
        meaning = self._names.column(columns[0], select) if len(columns) == 1 else None
        if meaning is None or node.find(exp.Placeholder, exp.Parameter) is not None:
            return None
        place, name = meaning
        type_name = place.table.columns[name].type
        if isinstance(node, exp.Extract | exp.TimestampTrunc | exp.DateTrunc) and type_name not in _STEADY_TYPES:
            return None
        if isinstance(node, _UNITS_OF) and type_name == "date":
            return None  # which PostgreSQL takes for a moment in the session's time zone
        copy = node.copy()
        for column in list(copy.find_all(exp.Column)):
            column.replace(exp.column(name, quoted=True))
        return place, Key(copy.sql("postgres"), (name,))

    def _clause(self, select: exp.Select, clause: str, attribute: str) -> None:
        """The keys of GROUP BY or ORDER BY, as far as they are of one table, which an index could give in order."""
        node = select.args.get(clause)
        nodes = [self._meant(_unordered(item), select) for item in (node.expressions if node else [])][:_MOST_TEXT]
        keys = [self._key(item, select) for item in nodes]
        for key in keys:
            if key is not None:
                place = key[0]
                getattr(self._use(place), attribute).extend(other[1] for other in keys if other and other[0] is place)
                return

    def _meant(self, node: exp.Expression, select: exp.Select) -> exp.Expression:
        """What GROUP BY and ORDER BY name: a place in the list, or a label of it."""
        if isinstance(node, exp.Literal) and node.is_int and 0 < int(node.this) <= len(select.selects):
            return unlabelled(select.selects[int(node.this) - 1])
        if isinstance(node, exp.Column) and not node.table and self._names.column(node, select) is None:
            return next((unlabelled(item) for item in select.selects if item.alias == node.name), node)
        return node


def _unordered(node: exp.Expression) -> exp.Expression:
    return node.this if isinstance(node, exp.Ordered) else node


def _own(select: exp.Select) -> Iterator[exp.Expression]:
    """The nodes of a SELECT that belong to no SELECT within it."""
    for node in select.walk(prune=lambda inner: isinstance(inner, exp.Select) and inner is not select):
        if node is select or not isinstance(node, exp.Select):
            yield node


def _filters(node: exp.Expression) -> bool:
    """Whether a comparison stands in WHERE, HAVING or ON, and not in CASE or a list of columns."""
    clause = node.find_ancestor(exp.Where, exp.Having, exp.Join, exp.Select, exp.Case, exp.Filter)
    return isinstance(clause, exp.Where | exp.Having | exp.Join)


def _each_with_other(
    keys: list[tuple[Place, Key] | None],
) -> Iterator[tuple[tuple[Place, Key], tuple[Place, Key] | None]]:
    """Each side that is a key, with the other side."""
    for place, key in enumerate(keys):
        if key is not None:
            yield key, (keys[1 - place] if len(keys) == 2 else None)


def _begins(pattern: exp.Expression | None) -> bool:
    """Whether a pattern of LIKE has a beginning that is known; of a value that is not shown that may be."""
    return not (isinstance(pattern, exp.Literal) and str(pattern.this)[:1] in ("", "%", "_"))


def _constant(node: exp.Expression, key: Key) -> Iterable[str]:
    """The condition that a comparison with a value makes, where all rows that are asked for fulfil it."""
    if key.is_expression or node.find_ancestor(exp.Or, exp.Not, exp.Having) is not None:
        return ()
    if isinstance(node, exp.Is):
        return (f"{quoted(key.text)} IS {node.expression.sql('postgres')}",) if not _is_hidden(node.expression) else ()
    if isinstance(node, exp.EQ):
        value = node.expression if isinstance(node.this, exp.Column) else node.this
        if isinstance(value, exp.Literal | exp.Boolean):
            return (f"{quoted(key.text)} = {value.sql('postgres')}",)
    return ()


def _is_hidden(node: exp.Expression) -> bool:
    return node.find(exp.Placeholder, exp.Parameter) is not None

"""A statement, read once: what it reads, groups by, filters, adds up, orders and cuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from superset_ext.aggregates.names import column, folded, in_schema
from superset_ext.aggregates.refusals import refusal
from superset_ext.aggregates.series import Parts, taken_apart
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.clauses import clause, conjuncts, is_aggregated
from superset_ext.plans.rewrite.copying import columns, copied, has_aggregate, replaced
from superset_ext.plans.rewrite.facts import Column

Columns = Mapping[str, Column]


@dataclass(frozen=True)
class Output:
    """A column of the answer, under its name."""

    name: exp.Identifier
    value: exp.Expression


@dataclass(frozen=True)
class Series:
    """The groups that a series limit leaves.

    Attributes:
        inner: the query that chooses them, with its LIMIT.
        on: what the statement compares with which output of it; all its keys are among these.
    """

    inner: Shape
    on: tuple[tuple[exp.Expression, Output], ...]


@dataclass(frozen=True)
class Shape:
    """One SELECT of one relation. Columns stand without their table, aliases are replaced by what they name.

    Attributes:
        order: terms; the name of an output stands for itself there.
        meant: what the terms of the order are, output names replaced.
        series: which groups are left.
    """

    engine: str
    relation: str
    outputs: tuple[Output, ...]
    conditions: tuple[exp.Expression, ...]
    keys: tuple[exp.Expression, ...]
    having: exp.Expression | None = None
    order: tuple[exp.Ordered, ...] = ()
    meant: tuple[exp.Expression, ...] = ()
    limit: int | None = None
    offset: int | None = None
    distinct: bool = False
    columns: Columns = field(default_factory=dict, compare=False)
    series: Series | None = None

    @property
    def has_groups(self) -> bool:
        """Whether there is a GROUP BY; otherwise an aggregate makes one row of all."""
        return bool(self.keys)

    def parts(self) -> tuple[exp.Expression, ...]:
        """All expressions of it."""
        having = () if self.having is None else (self.having,)
        inner = () if self.series is None else (*self.series.inner.parts(), *(value for value, _ in self.series.on))
        return (*(output.value for output in self.outputs), *self.conditions, *self.keys, *having, *self.meant, *inner)

    def grouping(self) -> tuple[exp.Expression, ...]:
        """What rows are filtered and grouped by."""
        inner = () if self.series is None else self.series.inner.grouping()
        return (*self.conditions, *self.keys, *inner)


def relation_of(tree: exp.Expression, engine: str, schema: str = "") -> str:
    """What the one source of a select is called here: a table's name, or a subquery's text.

    Args:
        schema: where names without one are looked up, so that `sales` and `public.sales` are one; empty where that is
            not known, and they are two.

    Raises:
        AggregateRefused: it does not read exactly one.
    """
    start = clause(tree, "from")
    source = start.this if start is not None else None
    if not isinstance(source, exp.Table | exp.Subquery):
        raise AggregateRefused("it reads no table")
    if isinstance(source, exp.Subquery):
        return str(in_schema(source.this, schema, engine).sql(dialect=engine, comments=False))
    if not isinstance(source.this, exp.Identifier):
        raise AggregateRefused("it reads a function's rows")
    source = in_schema(source, schema, engine)
    parts = [source.args.get("catalog"), source.args.get("db"), source.this]
    names = [folded(part, engine).replace('"', '""') for part in parts if part]
    return ".".join(f'"{name}"' for name in names)


def shape_of(tree: exp.Expression, engine: str, columns: Columns, schema: str = "") -> Shape:
    """A statement as a shape.

    Args:
        tree: of sqlglot; it is not changed.
        columns: of the relation that it reads.
        schema: as in `relation_of`.

    Raises:
        AggregateRefused: no aggregate could answer a statement of this form.
    """
    parts = taken_apart(tree)
    outer = tree if parts is None else parts.outer
    reason = refusal(outer)
    if reason or not isinstance(outer, exp.Select):
        raise AggregateRefused(reason)
    reading = _Reading(outer, engine, columns, schema)
    if parts is None:
        return reading.shape()
    inner = shape_of(parts.inner, engine, columns, schema)
    return replace(reading.shape(), series=reading.series(inner, parts))


class _Reading:
    """One select under way."""

    def __init__(self, select: exp.Select, engine: str, columns: Columns, schema: str) -> None:
        self.select, self.engine, self.columns = select, engine, columns
        self.relation = relation_of(select, engine, schema)
        source = select.args.get("from_") or select.args["from"]
        alias = source.this.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            raise AggregateRefused("it gives the columns of what it reads other names")
        self.source = folded(alias.this if alias is not None else source.this.this, engine)
        self.outputs = tuple(self._output(node) for node in select.expressions)
        self.aliases = {folded(output.name, engine): output.value for output in self.outputs}

    def shape(self) -> Shape:
        select, group, having = self.select, clause(self.select, "group"), clause(self.select, "having")
        order = clause(select, "order")
        terms = tuple(term for term in order.expressions if isinstance(term, exp.Ordered)) if order is not None else ()
        keys = tuple(dict.fromkeys(self._key(node) for node in group.expressions)) if group is not None else ()
        distinct = clause(select, "distinct") is not None
        if distinct and is_aggregated(select):
            raise AggregateRefused("it has both DISTINCT and groups")
        shape = Shape(
            self.engine, self.relation, self.outputs, tuple(self._plain(node) for node in conjuncts(select)), keys,
            None if having is None else self._plain(having.this), tuple(self._ordered(term) for term in terms),
            tuple(self._meant(term.this) for term in terms), _number(select, "limit"), _number(select, "offset"),
            distinct, self.columns,
        )  # fmt: skip
        _refuse_ungrouped(shape)
        return shape

    def series(self, inner: Shape, parts: Parts) -> Series:
        """What a series limit leaves, if it is one: all keys of its query are compared, and nothing else is."""
        known = {folded(output.name, self.engine): output for output in inner.outputs}
        taken = {name for name in known if name in self.columns}
        pairs = [
            (self._plain(ours), known[name])
            for ours, theirs in parts.pairs
            if isinstance(theirs, exp.Column) and (name := folded(theirs.this, self.engine)) in known.keys() - taken
        ]
        same = all(value == output.value for value, output in pairs)
        keys = {output.value for _, output in pairs}
        if inner.relation != self.relation or inner.series or inner.distinct or inner.having or not inner.keys:
            raise AggregateRefused("it joins what is no series limit")
        if not same or len(pairs) * 2 != len(parts.pairs) or keys != set(inner.keys):
            raise AggregateRefused("it joins what is no series limit")
        return Series(inner, tuple(pairs))

    def _output(self, node: exp.Expression) -> Output:
        if isinstance(node, exp.Alias):
            return Output(copied(node.args["alias"]), self._plain(node.this))
        if isinstance(node, exp.Column):
            return Output(copied(node.this), self._plain(node))
        raise AggregateRefused("a column of its answer has no name of its own")

    def _plain(self, node: exp.Expression) -> exp.Expression:
        """An expression whose columns stand without their table."""
        return replaced(node, self._bare)

    def _bare(self, node: exp.Expression) -> exp.Expression | None:
        if not isinstance(node, exp.Column):
            return None
        name, table = folded(node.this, self.engine), folded(node.args.get("table"), self.engine)
        if node.args.get("db") or (table and table != self.source) or name not in self.columns:
            raise AggregateRefused("it has a name that is no column of what it reads")
        return column(name)

    def _key(self, node: exp.Expression) -> exp.Expression:
        """What a term of GROUP BY means: a number is a place; a name is a column before it is an alias."""
        if isinstance(node, exp.Literal):
            return self._placed(node)
        if self._names_output(node) and folded(node.this, self.engine) not in self.columns:
            return self.aliases[folded(node.this, self.engine)]
        return self._plain(node)

    def _meant(self, node: exp.Expression) -> exp.Expression:
        """What a term of ORDER BY means: a number is a place; a name alone is an alias before it is a column."""
        if isinstance(node, exp.Literal):
            return self._placed(node)
        if self._names_output(node):
            return self.aliases[folded(node.this, self.engine)]
        names = {folded(name.this, self.engine) for name in columns(node)}
        for name in names & set(self.aliases):
            if self.aliases[name] != column(name) and self.engine == "duckdb":
                raise AggregateRefused("ORDER BY calculates with a name that is both a column and an alias")
        return self._plain(node)

    def _ordered(self, term: exp.Ordered) -> exp.Ordered:
        """A term of ORDER BY in which the name of an output stands for itself, and a place is its number."""
        kept = isinstance(term.this, exp.Literal) or self._names_output(term.this)
        term = copied(term)
        if not kept:
            term.set("this", None)
        return term

    def _names_output(self, node: exp.Expression) -> bool:
        is_name = isinstance(node, exp.Column) and not node.args.get("table")
        return is_name and folded(node.this, self.engine) in self.aliases

    def _placed(self, node: exp.Literal) -> exp.Expression:
        place = int(node.name) if node.is_int else 0
        if not 0 < place <= len(self.outputs):
            raise AggregateRefused("it groups or orders by a constant")
        return self.outputs[place - 1].value


def _number(select: exp.Select, name: str) -> int | None:
    part = clause(select, name)
    if part is None:
        return None
    value = part.args.get("expression")
    if not isinstance(part, exp.Limit | exp.Offset) or not isinstance(value, exp.Literal) or not value.is_int:
        raise AggregateRefused("its LIMIT or OFFSET is no plain number")
    return int(value.name)


def _refuse_ungrouped(shape: Shape) -> None:
    """What stands outside of aggregates has to be a key, or made of keys; raw rows are in no aggregate."""
    values = [output.value for output in shape.outputs] + list(shape.meant)
    values += [] if shape.having is None else [shape.having]
    aggregated = shape.has_groups or shape.distinct or any(map(has_aggregate, values))
    if not aggregated:
        raise AggregateRefused("it asks for rows, which are not grouped")
    if shape.distinct:
        if not any(output.value.find(exp.Column) for output in shape.outputs):
            raise AggregateRefused("it asks for constants")
        if any(term not in [output.value for output in shape.outputs] for term in shape.meant):
            raise AggregateRefused("DISTINCT is ordered by what it does not give")
        return
    if any(map(has_aggregate, (*shape.keys, *shape.conditions))):
        raise AggregateRefused("it groups or filters by an aggregate")
    if any(not key.find(exp.Column) for key in shape.keys):
        raise AggregateRefused("it groups by a constant")
    if not all(_is_of_keys(value, shape.keys) for value in values):
        raise AggregateRefused("it gives a column that it does not group by")


def _is_of_keys(node: exp.Expression, keys: tuple[exp.Expression, ...]) -> bool:
    if node in keys or isinstance(node, exp.AggFunc):
        return True
    if isinstance(node, exp.Column):
        return False
    return all(_is_of_keys(child, keys) for child in node.iter_expressions())

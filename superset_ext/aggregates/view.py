"""An aggregate: a table of one row for each group of another one, and what makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from sqlglot import exp

from superset_ext.aggregates.grain import derives
from superset_ext.aggregates.names import column
from superset_ext.plans.rewrite.facts import Column

ROWS = "n"  # the column that counts the rows of a group


@dataclass(frozen=True)
class Key:
    """A column of the grain: a column of the relation, or the first moment of a grain that it lies in."""

    column: str
    unit: str | None = None

    @property
    def value(self) -> exp.Expression:
        """What it is, over the relation."""
        plain = column(self.column)
        if self.unit is None:
            return plain
        return exp.TimestampTrunc(this=plain, unit=exp.var(self.unit.upper()))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Measure:
    """A number of each group that can be added up further.

    Attributes:
        function: `sum`, `count`, `min` or `max`.
        type: of its values, as the source names it; it says whether a sum is exact.
    """

    function: str
    argument: exp.Expression
    type: str = field(default="", compare=False)

    @property
    def value(self) -> exp.Expression:
        """What it is, over the relation."""
        makers = {"sum": exp.Sum, "count": exp.Count, "min": exp.Min, "max": exp.Max}
        return makers[self.function](this=self.argument.copy())


@dataclass(frozen=True)
class View:
    """An aggregate of one relation.

    Attributes:
        relation: what `shape.relation_of` calls it.
        table: its name, with its schema.
        columns: of the relation.
        rows: how many it has, exactly; `None` before it is built.
        distinct: how many values each key has, NULL among them; known once it is built.
        finite: columns of time of which no value is infinite; known once it is built, and told again by upkeep.
    """

    engine: str
    relation: str
    table: str
    keys: tuple[Key, ...]
    measures: tuple[Measure, ...]
    columns: Mapping[str, Column]
    rows: int | None = None
    distinct: Mapping[str, int] = field(default_factory=dict)
    finite: frozenset[str] = frozenset()

    @cached_property
    def names(self) -> Mapping[Key | Measure, str]:
        """The name of each of its columns."""
        names: dict[Key | Measure, str] = {}
        for key in self.keys:
            names[key] = _free(key.column if key.unit is None else f"{key.column}_{key.unit}", names)
        for measure in self.measures:
            bare = isinstance(measure.argument, exp.Column)
            stem = f"{measure.function}_{measure.argument.name if bare else 'of'}"
            names[measure] = _free(stem, names)
        return names

    @cached_property
    def by_measure(self) -> Mapping[tuple[str, exp.Expression], Measure]:
        """Its measures by function and argument."""
        return {(measure.function, measure.argument): measure for measure in self.measures}

    @cached_property
    def by_column(self) -> Mapping[str, tuple[Key, ...]]:
        """Its keys by the relation's column, the coarsest first."""
        columns: dict[str, tuple[Key, ...]] = {}
        for key in self.keys:
            columns[key.column] = (*columns.get(key.column, ()), key)
        return {name: tuple(sorted(keys, key=lambda key: key.unit is None)) for name, keys in columns.items()}

    @cached_property
    def kept_columns(self) -> frozenset[str]:
        """The relation's columns that its keys and measures are made of."""
        inside = {name.name for measure in self.measures for name in measure.argument.find_all(exp.Column)}
        return frozenset(inside | self.by_column.keys())

    @cached_property
    def of_columns(self) -> Mapping[str, frozenset[str]]:
        """The columns of which it has a measure, by the function."""
        bare = [one for one in self.measures if isinstance(one.argument, exp.Column)]
        functions = ("sum", "count", "min", "max")
        return {name: frozenset(one.argument.name for one in bare if one.function == name) for name in functions}

    def key(self, name: str, unit: str | None) -> Key | None:
        """The key from which a grain of a column follows; with no unit, the one that is the column itself."""
        keys = self.by_column.get(name, ())
        same = [key for key in keys if key.unit == unit]
        return next(iter(same or [key for key in keys if unit is not None and derives(key.unit, unit)]), None)

    def select(self) -> str:
        """The query that makes its rows."""
        source = self.relation if self.relation.startswith('"') else f"({self.relation})"
        values: list[Key | Measure] = [*self.keys, *self.measures]
        columns = [f"{_sql(value.value, self.engine)} AS {quoted(self.names[value])}" for value in values]
        columns.insert(len(self.keys), f"COUNT(*) AS {quoted(ROWS)}")
        group = ", ".join(_sql(key.value, self.engine) for key in self.keys)
        # Without keys there is one row even of nothing, which would count as a row where constants are added up.
        end = f"GROUP BY {group}" if group else "HAVING COUNT(*) > 0"
        return f"SELECT {', '.join(columns)} FROM {source} AS t {end}"  # noqa: S608  (made of identifiers)

    def create(self) -> tuple[str, ...]:
        """The statements that make it: the table, and an index by which one group is at hand and none is twice."""
        statements = [f"CREATE TABLE {self.table} AS {self.select()}"]
        if self.engine == "postgres" and self.keys:
            names = ", ".join(quoted(self.names[key]) for key in self.keys)
            statements.append(f"CREATE UNIQUE INDEX ON {self.table} ({names}) NULLS NOT DISTINCT")
        return (*statements, f"ANALYZE {self.table}")

    def drop(self) -> str:
        """The statement that takes it away."""
        return f"DROP TABLE IF EXISTS {self.table}"

    def typed(self, types: Mapping[str, str]) -> View:
        """It with the types of its measures, by the names of its columns."""
        measures = tuple(replace(one, type=types[self.names[one]]) for one in self.measures)
        return replace(self, measures=measures)


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _free(stem: str, taken: Mapping[Key | Measure, str]) -> str:
    """A name that no other column has, whatever its case; short enough for PostgreSQL in UTF-8."""
    stem = stem.encode()[:50].decode(errors="ignore")
    names: Sequence[str] = [ROWS, *(name.lower() for name in taken.values())]
    if stem.lower() not in names:
        return stem
    return next(name for number in range(2, 10_000) if (name := f"{stem}_{number}").lower() not in names)


def _sql(node: exp.Expression, engine: str) -> str:
    return node.sql(dialect=engine)

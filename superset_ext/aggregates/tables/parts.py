"""What a note says of each measure, so that a group is brought up to date without its base; as SQL.

Counts and sums of whole and decimal numbers are added up: they are the same in whatever order. Of a least and a largest
value a note has that of what came and of what went. Sums of floating point numbers depend on the order, so an aggregate
that has one is kept up by the keys alone: its notes say which groups have changed, and each of these is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from superset_ext.aggregates.view import Measure, View
from superset_ext.plans.rewrite.facts import Kind

PREFIX = "superset_ext_"  # of the columns of notes that are not keys
_FIXED = (Kind.INTEGER, Kind.DECIMAL)


@dataclass(frozen=True)
class Part:
    """A measure in notes.

    Attributes:
        number: by which its columns are named.
        column: the measure's in the aggregate.
        is_fixed: whether all values have the same scale, so that a sum looks the same whatever was taken from it.
    """

    measure: Measure
    number: int
    column: str
    is_fixed: bool

    @property
    def is_sum(self) -> bool:
        """Whether it is added up and NULL where there was nothing to add up."""
        return self.measure.function == "sum"

    @property
    def is_extreme(self) -> bool:
        """Whether it is the least or the largest value."""
        return self.measure.function in ("min", "max")

    @property
    def value(self) -> str:
        """What is added up or compared, over a row of the base."""
        return self.measure.argument.sql(dialect="postgres")

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in notes: of a count, the net one; of a sum, the net one and how many values came and went; of
        an extreme, that of what came and that of what went."""
        ends: tuple[str, ...] = ("",)
        if self.is_sum:
            ends = ("", "_came", "_went")
        elif self.is_extreme:
            ends = ("_came", "_went")
        return tuple(f"{PREFIX}m{self.number}{end}" for end in ends)


def parts_of(view: View) -> tuple[Part, ...] | None:
    """The measures as notes have them; `None` where one of them cannot be brought up to date without the base."""
    if not all(_adds_up(one, view) for one in view.measures):
        return None
    return tuple(
        Part(one, number, view.names[one], _is_fixed(one, view)) for number, one in enumerate(view.measures, 1)
    )


def _adds_up(measure: Measure, view: View) -> bool:
    if measure.function != "sum":
        return True
    names = [node.name for node in measure.argument.find_all(exp.Column)]
    casts = [node.to.this for node in measure.argument.find_all(exp.Cast)]
    kinds = {view.columns[name].kind for name in names}
    return Kind.FLOAT not in kinds and not {exp.DataType.Type.DOUBLE, exp.DataType.Type.FLOAT} & set(casts)


def is_column(part: Part) -> bool:
    """Whether it is of a column as it is, so that no operator has to be looked up."""
    return isinstance(part.measure.argument, exp.Column)


def _is_fixed(measure: Measure, view: View) -> bool:
    bare = measure.argument
    return isinstance(bare, exp.Column) and view.columns[bare.name].kind in _FIXED


def of_one(part: Part, came: bool) -> str:
    """A measure in the note of one row that came or went."""
    value, there = part.value, f"pg_catalog.num_nonnulls({part.value})"
    if part.is_extreme:
        return f"{value}, NULL" if came else f"NULL, {value}"
    if part.is_sum:
        return f"{value}, {there}, 0" if came else f"OPERATOR(pg_catalog.-) ({value})::numeric, 0, {there}"
    return there if came else f"OPERATOR(pg_catalog.-) {there}"


def of_both(part: Part) -> str:
    """A measure in the note of one row that was changed, from the notes of what it was before and is after."""
    before, after = ([f"superset_ext_{side}.{name}" for name in part.columns] for side in ("before", "after"))
    if part.is_extreme:
        return f"{after[0]}, {before[1]}"
    net = f"{before[0]} OPERATOR(pg_catalog.+) {after[0]}"
    if part.is_sum:
        return f"coalesce({net}, {before[0]}, {after[0]}), {after[1]}, {before[2]}"
    return net


def of_many(part: Part) -> str:
    """A measure in the note of a group, over rows that have its value as `a…` and whether they `came`."""
    value, come, go = f"a{part.number}", "FILTER (WHERE came)", "FILTER (WHERE NOT came)"
    if part.is_extreme:
        best = f"pg_catalog.{part.measure.function}({value})"
        return f"{best} {come}, {best} {go}"
    if part.is_sum:
        total = f"pg_catalog.sum({value})"
        net = f"coalesce({total} {come}, 0) OPERATOR(pg_catalog.-) coalesce({total} {go}, 0)"
        return f"{net}, pg_catalog.count({value}) {come}, pg_catalog.count({value}) {go}"
    return f"pg_catalog.count({value}) {come} OPERATOR(pg_catalog.-) pg_catalog.count({value}) {go}"


def typed(part: Part) -> str:
    """Its columns with the types that they have, over the base; for a table without rows."""
    own = f"{part.measure.function}({part.value})"
    types = [own, own] if part.is_extreme else [own, "0::bigint", "0::bigint"]
    types = types if part.is_extreme or part.is_sum else ["0::bigint"]
    return ", ".join(f"{value} AS {name}" for value, name in zip(types, part.columns, strict=True))


def rows(keys: Sequence[str], parts: Sequence[Part], came: bool, went: bool) -> str:
    """The changed rows of a statement: keys as `k…`, values as `a…`, and whether they `came`."""
    values = [f"{value} AS k{number}" for number, value in enumerate(keys, 1)]
    values += [f"{part.value} AS a{part.number}" for part in parts]
    sides = [("true", "new_rows")] * came + [("false", "old_rows")] * went
    return " UNION ALL ".join(
        f"SELECT {', '.join([*values, f'{side} AS came'])} FROM {table} AS t"  # noqa: S608  (made of identifiers)
        for side, table in sides
    )

"""What an aggregate may be made of: a table, or a virtual dataset's query that gives everybody the same rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from superset_ext.aggregates.finite import PARTS
from superset_ext.aggregates.names import folded
from superset_ext.aggregates.shape import Columns, relation_of
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.clauses import clause
from superset_ext.plans.rewrite.facts import Facts, Kind
from superset_ext.plans.rewrite.kinds import kind_of, outputs
from superset_ext.plans.rewrite.settled import settled

_SESSION = (exp.CurrentDate, exp.CurrentTimestamp, exp.StrToTime, exp.StrToDate)
_TIMES = (exp.TimestampTrunc, exp.DateTrunc, exp.Extract, exp.Year, exp.Month, exp.Day, exp.Quarter)
_DATES = {exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR}


@dataclass(frozen=True)
class Base:
    """What a statement reads.

    Attributes:
        relation: as `relation_of` calls it.
        rows: about how many it has, `None` where the source does not know.
    """

    relation: str
    columns: Columns
    rows: float | None = None


def base(tree: exp.Expression, facts: Facts) -> Base:
    """What a statement reads, with its columns.

    Raises:
        AggregateRefused: it is not one table or query, or its rows may be others for another session or next time.
    """
    relation = relation_of(tree, facts.engine)
    start = clause(tree, "from")
    source = start.this if start is not None else None
    if isinstance(source, exp.Table):
        schema = folded(source.args.get("db"), facts.engine) or None
        known = None if source.args.get("catalog") else facts.relation(schema, folded(source.this, facts.engine))
        if known is None:
            raise AggregateRefused("it reads what the source's catalogue does not name")
        return Base(relation, known.columns, known.rows)
    inner = source.this if source is not None else None
    if not isinstance(inner, exp.Query):
        raise AggregateRefused("it reads no table")
    return Base(relation, _of_query(inner, facts))


def _of_query(query: exp.Query, facts: Facts) -> Columns:
    opened = settled(query, facts)
    if opened.reason or opened.below is not None:
        reason = opened.reason or "its LIMIT chooses among rows that may tie"
        raise AggregateRefused(f"the virtual dataset's rows are not settled: {reason}")
    if facts.engine == "duckdb" and query.find(*PARTS):
        raise AggregateRefused("the virtual dataset asks for a part of a time that may be infinite")
    for node in query.walk():
        if _is_of_session(node, facts):
            raise AggregateRefused("the virtual dataset's rows depend on the session, or on the time")
    columns = outputs(query, facts)
    if columns is None:
        raise AggregateRefused("the columns of the virtual dataset are not known")
    return columns


def _is_of_session(node: exp.Expression, facts: Facts) -> bool:
    if isinstance(node, exp.Column):
        known = kind_of(node, facts)
        moved = known is None or known.kind == Kind.TIMESTAMPTZ
        return moved and not isinstance(node.parent, exp.Alias | exp.Select | exp.Count)
    if isinstance(node, exp.Cast):
        return node.to.this in _DATES and not _is_fixed(node.this, facts)
    if isinstance(node, _TIMES):
        inner = kind_of(node.expression if isinstance(node, exp.Extract) else node.this, facts)
        cut = (Kind.TIMESTAMP,) if isinstance(node, exp.TimestampTrunc) else (Kind.TIMESTAMP, Kind.DATE)
        return inner is None or inner.kind not in cut
    return isinstance(node, _SESSION)


def _is_fixed(node: exp.Expression, facts: Facts) -> bool:
    """Whether a value becomes the same text or date in every session."""
    known = kind_of(node, facts)
    return known is not None and known.kind in (Kind.INTEGER, Kind.DATE, Kind.TIMESTAMP, Kind.BOOLEAN, Kind.UUID)

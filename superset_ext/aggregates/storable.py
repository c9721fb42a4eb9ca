"""What may be added up and kept: the same for every session, whenever it is calculated."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.aggregates.shape import Columns
from superset_ext.plans.rewrite.facts import Kind

_NUMBERS = {Kind.INTEGER, Kind.DECIMAL, Kind.NUMERIC, Kind.FLOAT}
_PLAIN = {*_NUMBERS, Kind.TEXT, Kind.BOOLEAN}
_STABLE = (
    exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Not, exp.Neg, exp.Add, exp.Sub,
    exp.Mul, exp.Div, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.In, exp.Between, exp.Like,
    exp.And, exp.Or, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Abs, exp.Lower, exp.Upper, exp.Length, exp.Cast,
    exp.DataType, exp.DataTypeParam,
)  # fmt: skip
_Type = exp.DataType.Type
_CASTS = {_Type.SMALLINT, _Type.INT, _Type.BIGINT, _Type.DOUBLE, _Type.DECIMAL, _Type.BOOLEAN}


def is_storable(function: str, value: exp.Expression, columns: Columns) -> bool:
    """Whether an aggregate of a value can be a measure."""
    if isinstance(value, exp.Column):
        kind = columns[value.name].kind
        return kind in _NUMBERS if function in ("sum", "avg") else kind != Kind.OTHER
    if any(columns[name.name].kind not in _PLAIN for name in value.find_all(exp.Column)):
        return False
    if function in ("min", "max"):  # 1.0 and 1.00 may come of one expression
        return isinstance(value, exp.Cast) and is_storable("count", value.this, columns) and _is_number_cast(value)
    return all(isinstance(node, _STABLE) and _is_number_cast(node) for node in value.walk())


def _is_number_cast(node: exp.Expression) -> bool:
    """Whether a node casts to a number, if it casts at all. A date as text depends on the session."""
    return not isinstance(node, exp.Cast) or (type(node) is exp.Cast and node.to.this in _CASTS)

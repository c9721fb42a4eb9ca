"""A series limit as Superset writes it: a join with a query of the groups that come first.

Such a query has one row for each of its groups, and all its keys are compared with those of the statement that it
limits. So the join leaves out rows, and makes none twice: it is a filter by keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import bare, clause, joins
from superset_ext.plans.rewrite.copying import copied

NAME = "series_limit"  # what the query of the groups is called in a text
_INNER = ("", "INNER")


@dataclass(frozen=True)
class Parts:
    """A statement with a series limit, taken apart.

    Attributes:
        outer: the statement without its join.
        inner: the query of the groups.
        pairs: what the join compares, each twice: either side may be of the statement.
    """

    outer: exp.Select
    inner: exp.Select
    pairs: tuple[tuple[exp.Expression, exp.Expression], ...]


def taken_apart(tree: exp.Expression) -> Parts | None:
    """The parts of a statement with a series limit; `None` where it has none, or joins something else."""
    if not isinstance(tree, exp.Select) or len(joins(tree)) != 1:
        return None
    (join,) = joins(tree)
    plain = not any(join.args.get(name) for name in ("side", "method", "using", "global", "hint", "pivots"))
    source, kind = join.this, join.text("kind").upper()
    if (
        not plain
        or kind not in _INNER
        or not isinstance(source, exp.Subquery)
        or not isinstance(source.this, exp.Select)
    ):
        return None
    alias = source.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        return None
    compared = list(_compared(join.args.get("on")))
    if not compared or clause(source.this, "limit") is None or clause(source.this, "offset") is not None:
        return None
    outer = copied(tree)
    outer.set("joins", None)
    return Parts(outer, source.this, tuple(pair for one in compared for pair in (one, one[::-1])))


def _compared(node: exp.Expression | None) -> list[tuple[exp.Expression, exp.Expression]]:
    """What conditions that are joined by AND compare; nothing, where one is no equality."""
    node = None if node is None else bare(node)
    if isinstance(node, exp.And):
        left, right = _compared(node.left), _compared(node.right)
        return [*left, *right] if left and right else []
    return [(bare(node.left), bare(node.right))] if isinstance(node, exp.EQ) else []

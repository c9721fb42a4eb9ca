"""A correlated COUNT, SUM, MIN or MAX becomes a join with a subquery that groups once, not once a row."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import (
    bare,
    clause,
    column,
    conjuncts,
    derived,
    free_name,
    is_aggregated,
    is_cut,
    joins,
    selects,
    set_where,
    sources,
    unaliased,
)
from superset_ext.plans.rewrite.kinds import aliases, column_in, folded
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts

Keys = list[tuple[exp.EQ, exp.Column, exp.Column]]  # the condition, the subquery's column, the one outside


def correlated_aggregate(statement: Statement) -> Verdict:
    """A scalar subquery `SELECT COUNT(*) FROM b WHERE b.key = a.key` as a LEFT JOIN with b grouped by its key.

    Must hold: it is correlated by equality of columns of one type, and by nothing else. A row without partners counts
    0, and its sum is NULL: COUNT is wrapped in COALESCE, the others are not.
    """
    verdicts = Verdicts("no aggregate is correlated")
    for select in selects(statement.tree):
        scalars = [node for node in select.find_all(exp.Subquery) if _is_scalar(node, select)]
        for scalar in scalars:
            inner = scalar.this
            keys = _keys(inner, select, statement)
            if keys is None or keys:
                _look(scalar, keys or [], select, statement, verdicts)
    return verdicts.verdict()


def _is_scalar(node: exp.Subquery, select: exp.Select) -> bool:
    """Whether this is a subquery of a select's own, in the place of a value, that aggregates."""
    in_source = isinstance(
        node.parent, exp.From | exp.Join | exp.In | exp.Exists | exp.CTE | exp.Subquery | exp.SetOperation
    )
    is_own = node.find_ancestor(exp.Select) is select
    return is_own and not in_source and isinstance(node.this, exp.Select) and is_aggregated(node.this)


def _keys(inner: exp.Select, select: exp.Select, statement: Statement) -> Keys | None:
    """By what a subquery is correlated; `None` if not only by equality of columns."""
    keys: Keys = []
    facts = statement.facts
    equalities = [condition for condition in conjuncts(inner) if isinstance(condition, exp.EQ)]
    seen: set[int] = set()
    for condition in equalities:
        sides = [bare(condition.left), bare(condition.right)]
        outer = [side for side in sides if _is_outer(side, inner, select, statement)]
        own_sides = [
            side for side in sides if isinstance(side, exp.Column) and column_in(inner, side, facts) is not None
        ]
        if len(outer) == len(own_sides) == 1 and outer[0] is not own_sides[0]:
            keys.append((condition, own_sides[0], outer[0]))  # type: ignore[arg-type]
            seen |= {id(outer[0]), id(own_sides[0])}
    others = [node for node in inner.find_all(exp.Column) if id(node) not in seen]
    return keys if all(column_in(inner, node, facts) is not None for node in others) else None


def _is_outer(node: exp.Expression, inner: exp.Select, select: exp.Select, statement: Statement) -> bool:
    facts = statement.facts
    if not isinstance(node, exp.Column) or not node.table or folded(node.args["table"], facts) in aliases(inner, facts):
        return False
    return column_in(select, node, facts) is not None


def _look(scalar: exp.Subquery, keys: Keys, select: exp.Select, statement: Statement, verdicts: Verdicts) -> None:
    """Change a select, if it may be."""
    if reason := statement.open.reason or _reason(scalar, keys, select, statement):
        verdicts.refuse(reason)
        return
    inner, source = scalar.this, free_name(statement.tree, "grouped")
    aggregate = unaliased(inner.expressions[0])
    names = [f"key_{place}_{source}" for place in range(len(keys))]
    body = inner.copy()
    correlating = [id(condition) for condition, _, _ in keys]
    set_where(body, [condition for condition in conjuncts(inner) if id(condition) not in correlating])
    outputs = [exp.alias_(key.copy(), name) for (_, key, _), name in zip(keys, names, strict=True)]
    body.set("expressions", [*outputs, exp.alias_(aggregate.copy(), f"value_{source}")])
    body.set("group", exp.Group(expressions=[key.copy() for _, key, _ in keys]))
    on = [
        exp.EQ(this=column(name, source), expression=outer.copy())
        for (_, _, outer), name in zip(keys, names, strict=True)
    ]
    select.append("joins", exp.Join(this=derived(body, source), side="LEFT", on=exp.and_(*on)))
    value: exp.Expression = column(f"value_{source}", source)
    if isinstance(aggregate, exp.Count):
        value = exp.Coalesce(this=value, expressions=[exp.Literal.number(0)])
    scalar.replace(value)
    verdicts.change("a correlated aggregate is a join with a grouped subquery", 2.0, statement.open.below)


def _reason(scalar: exp.Subquery, keys: Keys, select: exp.Select, statement: Statement) -> str:
    inner, facts = scalar.this, statement.facts
    if not keys:
        return "the aggregate is correlated by more than equality of columns that are known"
    if any(clause(inner, name) for name in ("group", "having", "order", "distinct", "with")) or is_cut(inner):
        return "the correlated subquery does more than aggregate"
    aggregate = unaliased(inner.expressions[0])
    if len(inner.expressions) != 1 or not isinstance(aggregate, exp.Count | exp.Sum | exp.Min | exp.Max):
        return "the correlated subquery does not give one aggregate"
    if inner.find(exp.Subquery) or len(sources(inner)) != 1 or is_aggregated(select) or clause(select, "distinct"):
        return "the correlated subquery reads several tables, or stands in a select that aggregates"
    if select.is_star or scalar.parent is select or any(_is_listed(join) for join in joins(select)):
        return "the select around it has *, no name for it, or a list of tables in its FROM"
    kinds = [(column_in(inner, key, facts), column_in(select, outer, facts)) for _, key, outer in keys]
    same = all(one and other and one.kind == other.kind and one.identical for one, other in kinds)
    return "" if same else "the aggregate is correlated by columns of other types"


def _is_listed(join: exp.Join) -> bool:
    return not join.args.get("on") and not join.args.get("using") and join.kind != "CROSS"

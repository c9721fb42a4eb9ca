"""Each rewrite rule with a mistake that is easily made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from superset_ext.plans.rewrite import Rule
from superset_ext.plans.rewrite.facts import Facts, Relation
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts

Change = Callable[[exp.Expression], exp.Expression]


class _NeverNull:
    """A catalogue that says of every column that it cannot be NULL."""

    def __init__(self, facts: Facts) -> None:
        self.engine, self._facts = facts.engine, facts

    def relation(self, schema: str | None, name: str) -> Relation | None:
        relation = self._facts.relation(schema, name)
        if relation is None:
            return None
        columns = {name: replace(column, nullable=False) for name, column in relation.columns.items()}
        return replace(relation, columns=columns)


def _named(rule: Rule, wrong: Rule) -> Rule:
    wrong.__name__ = rule.__name__
    return wrong


def _then(change: Change) -> Callable[[Rule], Rule]:
    """What a rule has made is changed once more, where it has made anything."""

    def of(rule: Rule) -> Rule:
        def wrong(statement: Statement) -> Verdict:
            verdict = rule(statement)
            if verdict.changed:
                statement.tree = statement.tree.transform(change)  # type: ignore[assignment]
            return verdict

        return _named(rule, wrong)

    return of


def _believing(rule: Rule) -> Rule:
    """A rule that does not look for NULL."""
    return _named(rule, lambda statement: rule(Statement(statement.tree, _NeverNull(statement.facts))))


def _dropping(rule: Rule) -> Rule:
    """ORDER BY goes beside a LIMIT of the outermost select too, whose rows it chooses."""

    def wrong(statement: Statement) -> Verdict:
        verdicts = Verdicts("")
        for order in list(statement.tree.find_all(exp.Order)):
            verdicts.change("", 1.0)
            order.pop()
        return verdicts.verdict()

    return _named(rule, wrong)


def _closed(node: exp.Expression) -> exp.Expression:
    return exp.LTE(this=node.this, expression=node.expression) if isinstance(node, exp.LT) else node


def _wider(node: exp.Expression) -> exp.Expression:
    return exp.GTE(this=node.this, expression=node.expression) if isinstance(node, exp.GT) else node


def _unsigned(node: exp.Expression) -> exp.Expression:
    return node.this if isinstance(node, exp.Neg) else node


def _twice(node: exp.Expression) -> exp.Expression:
    return exp.true() if isinstance(node, exp.Not) and isinstance(node.this, exp.Is) else node


def _unfiltered(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.CTE):
        node.this.set("where", None)
    return node


def _uncounted(node: exp.Expression) -> exp.Expression:
    is_ours = isinstance(node, exp.Coalesce) and isinstance(node.this, exp.Column) and "value" in node.this.name
    return node.this if is_ours else node


def _with_null(node: exp.Expression) -> exp.Expression:
    is_ours = isinstance(node, exp.Count) and isinstance(node.this, exp.Column) and "value" in node.this.name
    return exp.Count(this=exp.Star(), big_int=True) if is_ours else node


def _by_day(node: exp.Expression) -> exp.Expression:
    is_ours = isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.TIMESTAMPTZ
    return exp.cast(node.this.copy(), "date") if is_ours else node


MISTAKES: dict[str, Callable[[Rule], Rule]] = {
    "unneeded_order": _dropping,
    "extract_range": _then(_closed),
    "moment_as_constant": _then(_by_day),
    "integer_as_text": _then(_unsigned),
    "integer_as_decimal": _then(_wider),
    "or_across_join": _then(_twice),
    "filter_into_cte": _then(_unfiltered),
    "correlated_aggregate": _then(_uncounted),
    "not_in": _believing,
    "count_distinct": _then(_with_null),
}

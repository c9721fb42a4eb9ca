"""NOT IN over keys that are never NULL becomes NOT EXISTS, which engines run as an anti-join."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import bare, conjuncts, is_plain, selects, set_where, unaliased
from superset_ext.plans.rewrite.facts import Kind
from superset_ext.plans.rewrite.kinds import aliases, column_of, folded, source_of
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def not_in(statement: Statement) -> Verdict:
    """NOT IN (SELECT …) as NOT EXISTS.

    Must hold: neither side can be NULL, by an outer join neither (one NULL inside makes NOT IN true for no row); both
    have the same type; the subquery only chooses rows.
    """
    verdicts = Verdicts("no condition is NOT IN a subquery")
    for select in selects(statement.tree):
        for condition in conjuncts(select):
            tested = bare(condition.this) if isinstance(condition, exp.Not) else None
            if isinstance(tested, exp.In) and isinstance(tested.args.get("query"), exp.Subquery):
                _look(condition, tested, select, statement, verdicts)
    return verdicts.verdict()


def _look(
    condition: exp.Expression, tested: exp.In, select: exp.Select, statement: Statement, verdicts: Verdicts
) -> None:
    """Change a condition, if it may be."""
    inner = tested.args["query"].this
    if reason := statement.open.reason or _reason(tested, inner, select, statement):
        verdicts.refuse(reason)
        return
    outer, key = _column(tested), unaliased(inner.expressions[0])
    source = source_of(select, outer, statement.facts)
    same = exp.EQ(
        this=key.copy(), expression=exp.Column(this=outer.this.copy(), table=source.copy() if source else None)
    )
    body = inner.copy()
    set_where(body, [*conjuncts(inner), same])
    body.set("expressions", [exp.Literal.number(1)])
    condition.replace(exp.Not(this=exp.Exists(this=body)))
    verdicts.change("NOT IN is NOT EXISTS, since neither side can be NULL", 2.0, statement.open.below)


def _column(tested: exp.In) -> exp.Column:
    """What NOT IN tests; a column of no name where it is none."""
    outer = bare(tested.this)
    return outer if isinstance(outer, exp.Column) else exp.Column(this=exp.to_identifier(""))


def _reason(tested: exp.In, inner: exp.Expression, select: exp.Select, statement: Statement) -> str:
    """Why NOT IN must stay."""
    facts, outer = statement.facts, _column(tested)
    if not isinstance(inner, exp.Select) or not is_plain(inner) or len(inner.expressions) != 1:
        return "the subquery of NOT IN does more than choose rows"
    key = column_of(unaliased(inner.expressions[0]), facts)
    tested_column = column_of(outer, facts)
    if key is None or tested_column is None:
        return "a side of NOT IN is no column that is known"
    if key.nullable or tested_column.nullable:
        return (
            f"{(key if key.nullable else tested_column).name} of NOT IN can be NULL, and then it means something else"
        )
    if key.kind != tested_column.kind or key.kind == Kind.OTHER:
        return "the sides of NOT IN have other types"
    source = source_of(select, outer, facts)
    if source is None or folded(source, facts) in aliases(inner, facts):
        return "the subquery of NOT IN has a source of the same name"
    return ""

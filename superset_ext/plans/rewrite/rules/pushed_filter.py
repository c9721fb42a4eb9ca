"""A filter outside of a subquery could stand in it; planners move it, unless that would change the answer."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import conjuncts, is_cut, own, selects, sources
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def pushed_filter(statement: Statement) -> Verdict:
    """Filters on a subquery: explained, and never changed."""
    verdicts = Verdicts("no filter stands outside of a subquery")
    for select in selects(statement.tree):
        inner = [source.this for source in sources(select) if isinstance(source, exp.Subquery)]
        if not conjuncts(select) or not inner:
            continue
        if any(is_cut(query) or any(True for _ in own(query, exp.Window)) for query in inner):
            verdicts.refuse("a filter cannot move into a subquery with LIMIT, OFFSET, DISTINCT ON or window functions")
        else:
            verdicts.refuse("a filter outside of a subquery gains nothing inside: today's planners move it")
    return verdicts.verdict()

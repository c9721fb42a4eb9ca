"""A filter on a materialized CTE moves into it: the engine makes the whole of it otherwise."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import (
    compared,
    conjuncts,
    is_plain,
    joins,
    selects,
    set_where,
    sources,
    unaliased,
)
from superset_ext.plans.rewrite.kinds import column_in, cte_of, folded, source_of
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts

_COMPARISONS = exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.In


def filter_into_cte(statement: Statement) -> Verdict:
    """Comparisons of a materialized CTE's columns with constants stand in the CTE.

    Must hold: the CTE is read once, and not by an outer join; it only chooses rows and columns; what is compared is a
    column of what it reads, so that nothing is worked out for rows that the CTE leaves out.
    """
    verdicts = Verdicts("no filter stands outside of a materialized CTE")
    for select in selects(statement.tree):
        for table in [
            source for source in sources(select) if isinstance(source, exp.Table) and not source.args.get("db")
        ]:
            cte = cte_of(table, statement.facts)
            if cte is not None and cte.args.get("materialized") is True:
                _look(table, cte, select, statement, verdicts)
    return verdicts.verdict()


def _look(table: exp.Table, cte: exp.CTE, select: exp.Select, statement: Statement, verdicts: Verdicts) -> None:
    """Move what may be moved."""
    moved = [
        (condition, inner)
        for condition in conjuncts(select)
        if (inner := _inside(condition, table, cte, select, statement))
    ]
    if not moved:
        return
    if reason := statement.open.reason or _reason(cte, select, statement):
        verdicts.refuse(reason)
        return
    outside = [condition for condition in conjuncts(select) if all(condition is not one for one, _ in moved)]
    set_where(cte.this, [*conjuncts(cte.this), *(inner for _, inner in moved)])
    set_where(select, outside)
    verdicts.change("a filter moves into a materialized CTE", 5.0, statement.open.below)


def _reason(cte: exp.CTE, select: exp.Select, statement: Statement) -> str:
    name = folded(cte.args["alias"].this, statement.facts)
    readers = [table for table in statement.tree.find_all(exp.Table) if folded(table.this, statement.facts) == name]
    if len(readers) != 1:
        return "the materialized CTE is read more than once"
    if any(join.args.get("side") for join in joins(select)):
        return "the materialized CTE is read in an outer join"
    if not is_plain(cte.this):
        return "the materialized CTE does more than choose rows and columns"
    return ""


def _inside(
    condition: exp.Expression, table: exp.Table, cte: exp.CTE, select: exp.Select, statement: Statement
) -> exp.Expression | None:
    """A comparison of the CTE's column with constants, as it stands within the CTE; `None` if it is none."""
    if not isinstance(condition, _COMPARISONS) or not compared(condition)[1]:
        return None
    facts = statement.facts
    tested, _ = compared(condition)
    source = source_of(select, tested, facts) if isinstance(tested, exp.Column) else None
    if source is None or folded(source, facts) != folded(
        table.args["alias"].this if table.args.get("alias") else table.this, facts
    ):
        return None
    name = folded(tested.this, facts)
    value = _value(cte.this, name, statement)
    if value is None:
        return None
    inner = condition.copy()
    compared(inner)[0].replace(value.copy())
    return inner


def _value(query: exp.Expression, name: str, statement: Statement) -> exp.Expression | None:
    """The column within a CTE that one of its columns is."""
    facts = statement.facts
    if not isinstance(query, exp.Select):
        return None
    for output in query.expressions:
        value = unaliased(output)
        written = output.args["alias"] if isinstance(output, exp.Alias) else value.this
        if isinstance(value, exp.Column) and not value.is_star and folded(written, facts) == name:
            return value if column_in(query, value, facts) is not None else None
    bare_name = exp.Column(this=exp.to_identifier(name, quoted=facts.engine == "postgres"))
    is_star = len(query.expressions) == 1 and query.is_star and len(sources(query)) == 1
    return bare_name if is_star and column_in(query, bare_name, facts) is not None else None

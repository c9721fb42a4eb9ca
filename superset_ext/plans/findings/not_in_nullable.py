"""NOT IN over a subquery whose column may be NULL."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from superset_ext.plans.case import Case, Finding, No, Verdict

KIND = "not_in_nullable"


def not_in_nullable(case: Case) -> Iterator[Verdict]:
    """NOT IN (SELECT …): one NULL in it gives no row at all, and no join can take its place."""
    if case.query is None:
        return
    for negated in case.query.find_all(exp.Not):
        inside = negated.this
        if isinstance(inside, exp.In) and inside.args.get("query") is not None:
            yield _verdict(case, inside.args["query"])


def _verdict(case: Case, subquery: exp.Expression) -> Verdict:
    column = _column(subquery)
    if column is None:
        return No(KIND, None, "NOT IN (SELECT …) selects no plain column, so which may be NULL or not.")
    nullable = [
        table.label
        for table in case.tables.values()
        if column in table.columns and _reads(subquery, table.name) and not table.columns[column].not_null
    ]
    if not nullable or _excludes_null(subquery, column):
        return No(KIND, None, f"NOT IN (SELECT {column} …) can meet no NULL.")
    share = max((case.plan.share(node) for node in case.plan.nodes() if "SubPlan" in node.texts), default=0.0)
    return Finding(
        KIND, None, f"NOT IN (SELECT {column} …) reads a column of {nullable[0]} that may be NULL.", {"share": share},
        "If one is NULL, the query returns no row at all, which is seldom meant. NOT EXISTS says what is meant, "
        f"and can be a join. Where {column} is never NULL, declare it NOT NULL.",
        share, "certain", f"look whether {column} of {nullable[0]} has a NULL",
    )  # fmt: skip


def _column(subquery: exp.Expression) -> str | None:
    select = subquery.find(exp.Select)
    column = select.expressions[0].unalias() if select is not None and len(select.expressions) == 1 else None
    return column.name if isinstance(column, exp.Column) else None


def _reads(subquery: exp.Expression, name: str) -> bool:
    return any(table.name == name for table in subquery.find_all(exp.Table))


def _excludes_null(subquery: exp.Expression, column: str) -> bool:
    return any(
        isinstance(negated.this, exp.Is) and column in {part.name for part in negated.this.find_all(exp.Column)}
        for negated in subquery.find_all(exp.Not)
    )

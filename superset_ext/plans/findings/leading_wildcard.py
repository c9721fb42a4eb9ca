"""A LIKE that begins with a wildcard, which no ordinary index serves."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.findings.filter_discards import LEAST_ROWS, LEAST_SHARE, is_negative
from superset_ext.plans.tables import Table
from superset_ext.plans.terms import terms
from superset_ext.plans.tree import Node

KIND = "leading_wildcard"
_LIKES = ("~~", "~~*", "LIKE", "ILIKE")
_WILDCARDS = ("%", "_")


def leading_wildcard(case: Case) -> Iterator[Verdict]:
    """A scan of a large table that looks for text within a column."""
    columns = _columns(case.query)
    for node in case.plan.nodes():
        table = case.table(node)
        if table is None or not node.reads_all or table.rows < LEAST_ROWS:
            continue
        for term in terms(node, table, "Filter"):
            if is_negative(term):  # no index serves what must not be like something
                continue
            if any(f" {sign} " in term.text for sign in _LIKES) and len(term.columns) == 1:
                yield _verdict(case, node, table, term.columns[0], term.columns[0].casefold() in columns)


def _columns(query: exp.Expression | None) -> frozenset[str]:
    """The columns that are compared with a pattern that begins with a wildcard."""
    likes = query.find_all(exp.Like, exp.ILike) if query is not None else ()
    return frozenset(
        column.name.casefold()
        for like in likes
        if isinstance(like.expression, exp.Literal) and like.expression.this.startswith(_WILDCARDS)
        for column in like.this.find_all(exp.Column)
    )


def _verdict(case: Case, node: Node, table: Table, column: str, is_leading: bool) -> Verdict:
    share = case.plan.share(node)
    what = f"The filter on {table.label} compares {column} with a pattern"
    if not is_leading:
        return No(KIND, node.number, f"{what} that does not begin with a wildcard.")
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{what} that begins with a wildcard, but is only {share:.0%} of the plan.")
    return Finding(
        KIND, node.number, f"{what} that begins with a wildcard: each row has to be looked at.", {"share": share},
        f"A trigram index serves such patterns of three letters and more; or filter {column} by its beginning.",
        share, "likely",
        "CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE INDEX CONCURRENTLY ON "
        f"{table.sql} USING gin ({table.columns_sql([column])} gin_trgm_ops)",
    )  # fmt: skip

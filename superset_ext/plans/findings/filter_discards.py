"""A scan of a large table whose filter throws most of the rows away."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tables import Table
from superset_ext.plans.terms import EQUALITY, RANGES, Term, terms
from superset_ext.plans.tree import Node

KIND = "filter_discards"
LEAST_ROWS = 10_000  # of a table; a smaller one is read as fast as its index
LEAST_SHARE = 0.1  # of the plan
MOST_KEPT = 0.1  # of the rows; where more are kept, an index reads as many pages as the scan
MOST_READ = 0.7  # of what the scan reads, with what PostgreSQL reckons more for pages that do not follow one another
_COLUMNS = 4
_APART = 4.0  # what a single page costs, where each page of a scan costs 1: PostgreSQL's default
_OTHERS = (
    1 / 3
)  # of the rows, which fulfil a condition that an index of plain columns cannot have, as PostgreSQL guesses
_SHARED = 1.1  # times a table's rows that all loops read together, up to which they are workers who share the table
_NEGATIVE = ("<>", "IS NOT NULL")


def filter_discards(case: Case) -> Iterator[Verdict]:
    """A sequential scan that reads many rows for few: an index would find these."""
    for node in case.plan.nodes():
        table = case.table(node)
        if node.reads_all and "Filter" in node.conditions and table and table.rows >= LEAST_ROWS:
            yield _verdict(case, node, table)


def _verdict(case: Case, node: Node, table: Table) -> Verdict:
    kept, share = kept_share(node, table), case.plan.share(node)
    conditions = terms(node, table, "Filter")
    columns = _columns(conditions)
    where = f"The filter on {table.label} keeps {kept:.1%} of {_rows_text(node, table)} rows"
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"{where}, but the scan is only {share:.0%} of the plan.")
    if not columns:
        return No(KIND, node.number, f"{where}, but compares no plain column, so that a plain index cannot serve it.")
    pages = _pages_share(table, columns[0], min(1.0, kept / _OTHERS ** _number_of_others(conditions, columns)))
    read = pages * (_APART - (_APART - 1) * pages**0.5)  # as PostgreSQL reckons for a bitmap
    if read > MOST_READ or kept > MOST_KEPT:
        reason = f"{where}, and an index would lead to {pages:.0%} of its pages, which costs about what the scan does"
        return No(KIND, node.number, f"{reason}, unless it has all columns of the query.")
    known = [index.name for column in columns for index in table.indexes_on(column) if not index.partial]
    if known:
        return No(KIND, node.number, f"{where}; {known[0]} could serve it, and the planner finds the scan cheaper.")
    named = ", ".join(columns)
    return Finding(
        KIND, node.number, f"{where}.", {"kept": kept, "rows": read_rows(node, table), "share": share},
        f"An index on {table.label} ({named}) would find these rows. Costs are estimates: build it on a copy, or "
        "CONCURRENTLY, and compare the times before you keep it.",
        share * (1 - read), "certain" if node.actual else "likely",
        f"CREATE INDEX CONCURRENTLY ON {table.sql} ({table.columns_sql(columns)})",
    )  # fmt: skip


def _rows_text(node: Node, table: Table) -> str:
    """What the scan reads; estimates, and what several workers read, of which each says the mean, are rounded."""
    rows = read_rows(node, table)
    if node.actual is not None and node.actual.loops == 1:
        return f"{rows:,.0f}"
    return f"about {float(f'{rows:.3g}'):,.0f}"


def read_rows(node: Node, table: Table) -> float:
    """The rows that a scan reads; where it is run again and again, those of one time."""
    if node.actual is None:
        return max(table.rows, 1.0)
    by_all = _rows_a_loop(node) * node.actual.loops
    return by_all if by_all <= table.rows * _SHARED else _rows_a_loop(node)


def kept_share(node: Node, table: Table) -> float:
    """The share of the rows that a scan keeps, from 0 to 1."""
    if node.actual is None:
        return min(1.0, node.rows / read_rows(node, table))
    return min(1.0, node.actual.rows / _rows_a_loop(node))


def _rows_a_loop(node: Node) -> float:
    rows = node.actual.rows if node.actual else 0.0
    return max(rows + node.number_of("Rows Removed by Filter"), 1.0)


def _pages_share(table: Table, column: str, kept: float) -> float:
    """The share of a table's pages on which the rows lie that are kept: few where they lie in the column's order."""
    rows_a_page = max(table.rows / max(table.pages, 1), 1.0)
    order = table.columns[column].correlation ** 2 if column in table.columns else 0.0
    return float(order * kept + (1 - order) * (1 - (1 - kept) ** rows_a_page))


def _number_of_others(conditions: list[Term], columns: list[str]) -> int:
    """How many conditions keep few rows, and are not looked up in an index of these columns."""
    looked_up = (EQUALITY, *RANGES)
    return sum(
        not (term.is_plain and term.operator in looked_up and term.columns[0] in columns) and not is_negative(term)
        for term in conditions
    )


def is_negative(term: Term) -> bool:
    """Whether a condition excludes something, and so keeps most rows."""
    return term.operator in _NEGATIVE or "! ~" in term.text or " <> " in term.text


def _columns(conditions: list[Term]) -> list[str]:
    """The columns for an index: those that are equal to something, then those in ranges, which it is filtered by."""
    plain = [term for term in conditions if term.is_plain]
    equal = [term.columns[0] for term in plain if term.operator == EQUALITY]
    ranges = [term.columns[0] for term in plain if term.operator in RANGES]
    return list(dict.fromkeys([*equal, *ranges]))[:_COLUMNS]

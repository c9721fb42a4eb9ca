"""Rows that are misjudged for want of statistics of columns together, or of an expression.

The planner takes columns to be independent: it multiplies what each condition lets pass, and the numbers of values of
columns that are grouped by. Of an expression it knows nothing, and guesses. PostgreSQL keeps statistics of several
columns, and of expressions since version 14, once somebody has created them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.misjudged import FACTOR, inherited, misjudged, stopped
from superset_ext.plans.tables import Table, quoted
from superset_ext.plans.terms import columns_in, compared_expression, terms
from superset_ext.plans.tree import Node

KIND = "extended_statistics"
WITH_EXPRESSIONS = 140_000  # the first version that keeps statistics of expressions
MODIFIED = 0.1  # of the rows, since the last ANALYZE: then what is old errs
_MOST = 8  # columns that PostgreSQL takes in one object
_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond")


@dataclass(frozen=True, slots=True)
class Lack:
    """What a node's rows depend on, of which there are no statistics.

    Attributes:
        table: that they would be of.
        parts: columns, or one expression in parentheses, as `CREATE STATISTICS` takes them.
        what: the same in words.
    """

    table: Table
    parts: tuple[str, ...]
    what: str

    @property
    def command(self) -> str:
        """What creates them. Before version 16 they need a name."""
        words = re.findall(r"\w+", " ".join((self.table.name, *self.parts)))
        name = "_".join(words).lower()[:55]
        table = self.table.sql
        return f"CREATE STATISTICS {quoted(name)} ON {', '.join(self.parts)} FROM {table}; ANALYZE {table}"


def extended_statistics(case: Case) -> Iterator[Verdict]:
    """Scans with conditions on several columns or on an expression, and groups by several columns."""
    early = stopped(case.plan.root)
    for node in case.plan.nodes():
        if node.number not in early and misjudged(node) >= FACTOR and not _is_of_below(node):
            lack = lacking(case, node)
            if lack is not None:
                yield _finding(node, lack)
            elif known := _known(case, node):
                yield No(KIND, node.number, known)


def _is_of_below(node: Node) -> bool:
    """Whether what a node gets was misjudged by another one. A bitmap is its scan's own."""
    below = inherited(node)
    return below is not None and below.kind != "Bitmap Index Scan"


def lacking(case: Case, node: Node) -> Lack | None:
    """What statistics a misjudged node lacks; `None` where none are known to."""
    table, columns = _judged_by(case, node)
    if table is None or _is_old(table):
        return None
    if len(columns) > 1 and not _covered(table, columns):
        return Lack(table, tuple(table.columns_sql([name]) for name in columns[:_MOST]), " and ".join(columns[:_MOST]))
    expression = _expression(node, table)
    if expression is None or case.plan.version < WITH_EXPRESSIONS or _has_expression(table, expression):
        return None
    return Lack(table, (f"({expression})",), f"the expression {expression}")


def _judged_by(case: Case, node: Node) -> tuple[Table | None, list[str]]:
    """The table and the columns by which the rows of a node were judged."""
    if node.kind == "Aggregate":
        return _grouped(case, node)
    table = case.table(node)
    plain = [term.columns[0] for term in terms(node, table, *_CONDITIONS) if term.is_plain]
    return table, list(dict.fromkeys(plain))


def _grouped(case: Case, node: Node) -> tuple[Table | None, list[str]]:
    """The table of which all group keys are columns, if one is."""
    keys = node.keys.get("Group Key", ())
    for scan in node.walk():
        table, alias = case.table(scan), scan.alias or scan.relation or ""
        columns = [column for key in keys for column in columns_in(key, alias)]
        if table is not None and columns and len(columns) == len(keys) and all(map(_is_column, keys)):
            return table, list(dict.fromkeys(columns))
    return None, []


def _is_column(key: str) -> bool:
    return "(" not in key and "::" not in key and " " not in key


def _is_old(table: Table) -> bool:
    return table.analyzed_days is None or table.modified > MODIFIED * max(table.rows, 1.0)


def _covered(table: Table, columns: list[str]) -> bool:
    return any(len(together & set(columns)) > 1 for together in table.extended)


def _expression(node: Node, table: Table) -> str | None:
    """The expression of the table that the only unusual condition compares."""
    alias = node.alias or node.relation or ""
    hidden = [term for term in terms(node, table, *_CONDITIONS) if not term.is_plain]
    if len(hidden) != 1 or hidden[0].is_or:
        return None
    return compared_expression(hidden[0], alias)


def _has_expression(table: Table, expression: str) -> bool:
    bare = re.sub(r"[\s()]", "", expression)
    return any(bare in re.sub(r"[\s()]", "", text) for text in table.expressions)


def _known(case: Case, node: Node) -> str:
    """Why nothing is advised where columns together were judged; empty where none were."""
    table, columns = _judged_by(case, node)
    if table is None or len(columns) < 2:
        return ""
    where = f"{' and '.join(columns)} of {table.label} were misjudged together"
    if _is_old(table):
        return f"{where}, but its statistics are missing or old."
    return f"{where}, although there are statistics of them together: perhaps not yet analyzed." if _covered(
        table, columns
    ) else ""  # fmt: skip


def _finding(node: Node, lack: Lack) -> Finding:
    rows, factor = node.actual.rows if node.actual else 0.0, misjudged(node)
    return Finding(
        KIND, node.number,
        f"The planner expected {node.rows:,.0f} rows by {lack.what} of {lack.table.label}, and there were {rows:,.0f}; "
        f"it has no statistics of {'them together' if len(lack.parts) > 1 else 'that'}.",
        {"expected": node.rows, "returned": rows, "factor": factor},
        "Create them, explain the query again, and drop them if it errs as before. A question mark stands for a value "
        "that is left out here.",
        0.0, "likely", lack.command,
    )  # fmt: skip

"""DISTINCT in a subquery that nobody needs: its rows are unique, or what is around it does not mind duplicates."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from superset_ext.plans.case import Case, Finding, No, Verdict
from superset_ext.plans.tables import Table
from superset_ext.plans.tree import Node

KIND = "unneeded_distinct"
LEAST_SHARE = 0.1
_CUTS = ("limit", "offset", "fetch")
_SAME = (exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr)  # of rows that stand there once or several times


def unneeded_distinct(case: Case) -> Iterator[Verdict]:
    """A virtual dataset, or a CTE that is read once, whose SELECT DISTINCT changes nothing of the answer."""
    for select in case.query.find_all(exp.Select) if case.query is not None else ():
        outer = _around(select)
        if select.args.get("distinct") and outer is not None:
            yield _verdict(case, select, outer)


def _around(select: exp.Select) -> exp.Select | None:
    """The select that reads this one, and nothing else does; `None` where there is none, or that is not sure."""
    place = select.parent
    if isinstance(place, exp.Subquery) and isinstance(place.parent, exp.From | exp.Join):
        return place.find_ancestor(exp.Select)
    if not isinstance(place, exp.CTE):
        return None
    readers = [table for table in place.root().find_all(exp.Table) if table.name == place.alias and not table.db]
    return readers[0].find_ancestor(exp.Select) if len(readers) == 1 else None


def _verdict(case: Case, select: exp.Select, outer: exp.Select) -> Verdict:
    if select.args["distinct"].args.get("on") is not None or any(select.args.get(name) for name in _CUTS):
        return No(KIND, None, "A subquery has DISTINCT ON, or DISTINCT with a LIMIT: it chooses rows.")
    why = _unique(case, select) or _indifferent(outer)
    if not why:
        return No(KIND, None, "A subquery has DISTINCT, and what is around it counts, adds up or shows its rows.")
    node = _step(case, select)
    if node is None:
        return No(KIND, None, "A subquery has DISTINCT without need, but the plan has no step for it.")
    share = case.plan.share(node) + sum(case.plan.share(child) for child in node.inputs if child.kind == "Sort")
    if share < LEAST_SHARE:
        return No(KIND, node.number, f"A subquery has DISTINCT without need, but it is only {share:.0%} of the plan.")
    return Finding(
        KIND, node.number, f"A subquery removes duplicates (node {node.number}) without need: {why}.", {"share": share},
        "Leave out DISTINCT in the virtual dataset's SQL; its other charts may count its rows, so look at them too.",
        share, "certain" if node.actual else "likely", "edit the dataset's SQL, and compare its charts",
    )  # fmt: skip


def _indifferent(outer: exp.Select) -> str:
    """Why a select gives the same whether rows stand there once or several times; empty where it may not."""
    parts = [*outer.expressions, *(outer.args[name] for name in ("having", "order") if outer.args.get(name))]
    nodes = [node for part in parts for node in part.find_all(exp.AggFunc, exp.Window, exp.Anonymous, exp.Query)]
    if not all(_is_indifferent(node) for node in nodes):
        return ""
    if outer.args.get("group") or any(isinstance(node, exp.AggFunc) for node in nodes):
        return "what is around it takes only the least, the greatest or the distinct of each group"
    return "the query around it removes them itself" if _is_plainly_distinct(outer) else ""


def _is_indifferent(node: exp.Expression) -> bool:
    return isinstance(node, _SAME) or (isinstance(node, exp.AggFunc) and isinstance(node.this, exp.Distinct))


def _is_plainly_distinct(outer: exp.Select) -> bool:
    distinct = outer.args.get("distinct")
    return distinct is not None and distinct.args.get("on") is None


def _unique(case: Case, select: exp.Select) -> str:
    """Why no two rows of a select are the same, whether or not it says DISTINCT; empty where they may be."""
    group = select.args.get("group")
    if group is not None:
        keys = [_meant(key, select) for key in group.expressions]
        plain = not any(group.args.get(name) for name in ("grouping_sets", "cube", "rollup", "all"))
        outputs = [output.unalias() for output in select.expressions]
        return "its rows are grouped by columns that it returns" if plain and all(k in outputs for k in keys) else ""
    table = _only_table(case, select)
    names = {column.name for column in _columns(select)}
    for index in table.indexes if table is not None else ():
        columns = {column for column in index.columns if column is not None}
        plain = index.unique and not index.partial and len(columns) == len(index.columns)
        never_null = table is not None and all(_is_never_null(table, column) for column in columns)
        if plain and never_null and (select.is_star or columns <= names):
            return f"it returns the columns of the unique index {index.name}"
    return ""


def _meant(key: exp.Expression, select: exp.Select) -> exp.Expression:
    """What a term of GROUP BY means: a number is a place."""
    outputs: list[exp.Expression] = [output.unalias() for output in select.expressions]
    is_place = isinstance(key, exp.Literal) and key.is_int and 0 < int(key.name) <= len(outputs)
    return outputs[int(key.name) - 1] if is_place else key


def _columns(select: exp.Select) -> Iterator[exp.Column]:
    for output in select.expressions:
        if isinstance(plain := output.unalias(), exp.Column) and not plain.is_star:
            yield plain


def _only_table(case: Case, select: exp.Select) -> Table | None:
    """The table that a select reads, where it reads one alone."""
    source = select.args["from_"].this if select.args.get("from_") else None
    if not isinstance(source, exp.Table) or select.args.get("joins") or select.args.get("laterals"):
        return None
    tables = [table for table in case.tables.values() if table.name == source.name and source.db in ("", table.schema)]
    return tables[0] if len(tables) == 1 else None


def _is_never_null(table: Table, column: str) -> bool:
    return column in table.columns and table.columns[column].not_null


def _step(case: Case, select: exp.Select) -> Node | None:
    """The deepest step that removes duplicates of so many columns; above that by which the select itself groups."""
    outputs, group = len(select.expressions), select.args.get("group")
    steps = [node for node in case.plan.nodes() if node.kind == "Unique" or _keys(node) == outputs]
    above = steps[:-1] if group is not None and len(group.expressions) == outputs else steps
    return above[-1] if above else None


def _keys(node: Node) -> int:
    return len(node.keys.get("Group Key", ())) if node.kind == "Aggregate" else 0

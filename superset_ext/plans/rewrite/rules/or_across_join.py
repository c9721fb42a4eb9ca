"""OR over columns of two tables that are joined becomes UNION ALL of two selects, each of which an index can serve."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import (
    bare,
    clause,
    column,
    conjuncts,
    derived,
    free_name,
    joins,
    named,
    selects,
    set_where,
)
from superset_ext.plans.rewrite.kinds import folded, source_of
from superset_ext.plans.rewrite.settled import meant
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def or_across_join(statement: Statement) -> Verdict:
    """`p OR q` as those rows where p is true, and those where q is true and p is not true.

    Must hold: p and q each read one of the joined tables; all columns are known. "Is not true" and not "NOT p", since p
    may be NULL.
    """
    verdicts = Verdicts("no OR reads columns of two joined tables")
    for select in selects(statement.tree):
        for condition in conjuncts(select) if joins(select) else []:
            if isinstance(condition, exp.Or) and _is_across(condition, select, statement):
                _look(condition, select, statement, verdicts)
                break
    return verdicts.verdict()


def _is_across(condition: exp.Or, select: exp.Select, statement: Statement) -> bool:
    """Whether each side reads one source, and both not the same."""
    read = [_read(side, select, statement) for side in (condition.left, condition.right)]
    return all(len(side) == 1 for side in read) and read[0] != read[1]


def _read(side: exp.Expression, select: exp.Select, statement: Statement) -> set[str]:
    names = [source_of(select, node, statement.facts) for node in side.find_all(exp.Column)]
    return {"" if name is None else folded(name, statement.facts) for name in names}


def _look(condition: exp.Or, select: exp.Select, statement: Statement, verdicts: Verdicts) -> None:
    """Change a select, if it may be."""
    names = _names(condition, select, statement)
    if statement.open.reason or isinstance(names, str):
        verdicts.refuse(statement.open.reason or str(names))
        return
    rest = [other for other in conjuncts(select) if other is not condition]
    first, second = bare(condition.left), bare(condition.right)
    unless = exp.Not(this=exp.Is(this=exp.paren(first.copy()), expression=exp.true()))
    both = [_branch(select, names, [*rest, *more]) for more in ([first], [second, unless])]
    source = free_name(statement.tree, "either")
    _read_from(select, names, source, statement)
    union = exp.Union(this=both[0], expression=both[1], distinct=False)
    select.set("from_", exp.From(this=derived(union, source)))
    for part in ("joins", "where"):
        select.set(part, None)
    verdicts.change("OR across a join is a UNION ALL of both sides", 3.0, statement.open.below)


Names = dict[tuple[str, str], tuple[exp.Column, str]]


def _names(condition: exp.Or, select: exp.Select, statement: Statement) -> Names | str:
    """A name for each column that the select uses outside of its FROM and WHERE, or why that cannot be told."""
    if condition.find(exp.Query) or any(join.args.get("using") or join.args.get("method") for join in joins(select)):
        return "the OR has a subquery, or the join merges columns"
    if any(output.is_star for output in select.expressions) or select.args.get("laterals"):
        return "the select with the OR has * or LATERAL"
    if any(not isinstance(output, exp.Alias | exp.Column) for output in select.expressions):
        return "what is selected has no name of its own"
    names: Names = {}
    for node in _used(select):
        source = source_of(select, node, statement.facts)
        if source is not None:
            key = folded(source, statement.facts), folded(node.this, statement.facts)
            names.setdefault(key, (exp.Column(this=node.this.copy(), table=source.copy()), f"part_{len(names) + 1}"))
        elif node.table or not _is_output(node, select):
            return "a column of the select with the OR is not known"
    return "the select with the OR has a subquery" if _has_query(select) else names


def _used(select: exp.Select) -> list[exp.Column]:
    parts = [*select.expressions, *(clause(select, name) for name in ("group", "having", "order", "distinct"))]
    return [node for part in parts if part is not None for node in part.find_all(exp.Column)]


def _is_output(node: exp.Column, select: exp.Select) -> bool:
    return any(isinstance(output, exp.Alias) and output.alias == node.name for output in select.expressions)


def _has_query(select: exp.Select) -> bool:
    parts = [*select.expressions, *(clause(select, name) for name in ("group", "having", "order"))]
    return any(part is not None and part.find(exp.Query) is not None for part in parts)


def _branch(select: exp.Select, names: Names, conditions: list[exp.Expression]) -> exp.Select:
    outputs = [exp.alias_(node.copy(), name) for node, name in names.values()]
    branch = exp.Select(expressions=outputs or [exp.alias_(exp.Literal.number(1), "part_0")])
    branch.set("from_", select.args["from_"].copy())
    branch.set("joins", [join.copy() for join in joins(select)])
    set_where(branch, conditions)
    return branch


def _read_from(select: exp.Select, names: Names, source: str, statement: Statement) -> None:
    """Let all columns of a select be those of the new source."""
    facts, ordered = statement.facts, {output.alias_or_name for output in select.expressions}
    group = clause(select, "group")
    if group is not None:  # a name is a column before it is an alias, and a column may lose its name here
        group.set("expressions", [meant(key, select, facts).copy() for key in group.expressions])
    pairs = []
    for node in _used(select):
        place = source_of(select, node, facts)
        alone = node.find_ancestor(exp.Order) is not None and isinstance(node.parent, exp.Ordered)
        if place is not None and not (alone and not node.table and node.name in ordered):
            pairs.append((node, names[folded(place, facts), folded(node.this, facts)][1]))
    outputs = {id(output) for output in select.expressions}
    for node, name in pairs:
        value = column(name, source)
        node.replace(named(node, value) if id(node) in outputs else value)

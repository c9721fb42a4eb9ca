"""COUNT(DISTINCT x) becomes COUNT over GROUP BY x, which engines hash and run in parallel instead of sorting."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import clause, column, derived, free_name, named, own, selects, unaliased
from superset_ext.plans.rewrite.settled import meant
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts


def count_distinct(statement: Statement) -> Verdict:
    """COUNT(DISTINCT x) as COUNT(x) of a subquery that groups by x too.

    Must hold: it is the only aggregate of its select, without FILTER; what is selected beside it are keys.
    """
    verdicts = Verdicts("there is no COUNT(DISTINCT)")
    for select in selects(statement.tree):
        counts = [count for count in own(select, exp.Count) if isinstance(count.this, exp.Distinct)]
        if counts:
            _look(select, counts, statement, verdicts)
    return verdicts.verdict()


def _look(select: exp.Select, counts: list[exp.Expression], statement: Statement, verdicts: Verdicts) -> None:
    """Change a select, if it may be."""
    if reason := statement.open.reason or _reason(select, counts):
        verdicts.refuse(reason)
        return
    group = clause(select, "group")
    keys = [meant(key, select, statement.facts).copy() for key in group.expressions] if group is not None else []
    source, value = free_name(statement.tree, "counted"), free_name(statement.tree, "value")
    names = {key: column(f"key_{place}_{value}", source) for place, key in enumerate(keys)}
    draft = _outer(select.copy(), counts[0], names, column(value, source))
    if draft is None:
        verdicts.refuse("beside COUNT(DISTINCT), something is selected that is no key")
        return
    inner = _inner(select, counts[0].this.expressions[0], names, value)
    draft.set("from_", exp.From(this=derived(inner, source)))
    _become(select, draft)
    verdicts.change("COUNT(DISTINCT) counts the groups of a subquery", 1.5, statement.open.below)


def _reason(select: exp.Select, counts: list[exp.Expression]) -> str:
    if any(count != counts[0] or len(count.this.expressions) != 1 for count in own(select, exp.AggFunc)):
        return "COUNT(DISTINCT) stands beside other aggregates"
    if any(isinstance(count.parent, exp.Filter) for count in counts):
        return "COUNT(DISTINCT) has a FILTER"
    if clause(select, "distinct") is not None or clause(select, "from") is None:
        return "COUNT(DISTINCT) stands in SELECT DISTINCT, or reads nothing"
    if any(not isinstance(output, exp.Alias | exp.Column) for output in select.expressions):
        return "what is selected has no name of its own"
    if any(output.find(exp.Query) for output in select.expressions):
        return "COUNT(DISTINCT) stands beside a subquery"
    return ""


def _outer(
    draft: exp.Select, count: exp.Expression, names: dict[exp.Expression, exp.Column], value: exp.Column
) -> exp.Select | None:
    """The select over the subquery, without it; `None` if something is left that the subquery does not give."""
    places = {column.sql(): column for column in (*names.values(), value)}

    def changed(node: exp.Expression) -> exp.Expression:
        if node == count:
            return exp.Count(this=value.copy(), big_int=True)
        return names[node].copy() if node in names else node

    outputs = [named(output, unaliased(output).copy().transform(changed)) for output in draft.expressions]
    aliases = {output.alias for output in outputs}
    draft.set("expressions", outputs)
    for name in ("where", "joins", "laterals"):
        draft.set(name, None)
    if names:
        draft.set("group", exp.Group(expressions=[name.copy() for name in names.values()]))
    parts = [part for part in (clause(draft, "having"), clause(draft, "order")) if part is not None]
    for part in parts:
        part.replace(part.copy().transform(changed))
    for node in (node for part in ("expressions", "having", "order") for node in _columns(draft, part)):
        is_alias = not node.table and node.name in aliases and node.find_ancestor(exp.Order) is not None
        if node.sql() not in places and not is_alias:
            return None
    return draft


def _columns(select: exp.Select, part: str) -> list[exp.Column]:
    value = select.args.get(part)
    nodes = value if isinstance(value, list) else [value]
    return [column for node in nodes if isinstance(node, exp.Expression) for column in node.find_all(exp.Column)]


def _inner(
    select: exp.Select, counted: exp.Expression, names: dict[exp.Expression, exp.Column], value: str
) -> exp.Select:
    """The subquery: a row for each value of each group."""
    body = exp.Select(
        expressions=[
            *(exp.alias_(key.copy(), name.name) for key, name in names.items()), exp.alias_(counted.copy(), value)
        ]
    )  # fmt: skip
    for part in ("from_", "joins", "laterals", "where"):
        clause_ = select.args.get(part)
        copies = [one.copy() for one in clause_] if isinstance(clause_, list) else clause_ and clause_.copy()
        body.set(part, copies)
    body.set("group", exp.Group(expressions=[*(key.copy() for key in names), counted.copy()]))
    return body


def _become(select: exp.Select, draft: exp.Select) -> None:
    """Let a select be another one, where it stands."""
    for part in {*select.args, *draft.args}:
        select.set(part, draft.args.get(part))

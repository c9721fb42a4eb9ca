"""Parts of a statement as sqlglot parses it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp


def clause(node: exp.Expression, name: str) -> exp.Expression | None:
    """A clause of a query by its name in sqlglot, without the underscore that some have."""
    part = node.args.get(name) or node.args.get(f"{name}_")
    return part if isinstance(part, exp.Expression) else None


def selects(tree: exp.Expression) -> list[exp.Select]:
    """All selects of a statement, the outermost first."""
    return list(tree.find_all(exp.Select))


def conjuncts(select: exp.Select) -> list[exp.Expression]:
    """The conditions that its WHERE joins by AND, without their parentheses."""
    where = clause(select, "where")
    return list(_conjuncts(where.this)) if where is not None else []


def _conjuncts(condition: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    elif isinstance(condition, exp.Paren):
        yield from _conjuncts(condition.this)
    else:
        yield condition


def bare(node: exp.Expression) -> exp.Expression:
    """A node without the parentheses around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def unaliased(node: exp.Expression) -> exp.Expression:
    """A projection without its alias."""
    return node.args["this"] if isinstance(node, exp.Alias) else node


def compared(condition: exp.Expression) -> tuple[exp.Expression, list[exp.Expression]]:
    """What a comparison or an IN compares, and the constants that it is compared with; none, if it is anything else."""
    if isinstance(condition, exp.In):
        plain = not condition.args.get("query") and not condition.args.get("unnest")
        tested, constants = bare(condition.this), [bare(value) for value in condition.expressions if plain]
    else:
        tested, constant = bare(condition.args["this"]), bare(condition.args["expression"])
        if is_constant(tested):
            tested, constant = constant, tested
        constants = [constant]
    return tested, constants if all(is_constant(constant) for constant in constants) else []


def is_constant(node: exp.Expression) -> bool:
    """Whether this is a number, with or without a sign, or a string."""
    return isinstance(node.this if isinstance(node, exp.Neg) else node, exp.Literal)


def joins(select: exp.Select) -> list[exp.Join]:
    """The joins of a select."""
    return list(select.args.get("joins") or [])


def sources(select: exp.Select) -> list[exp.Expression]:
    """What a select reads: tables, subqueries, and whatever else stands in its FROM."""
    start = clause(select, "from")
    read = [start.this] if start is not None else []
    read += [join.this for join in joins(select)]
    return read + list(select.args.get("laterals") or [])


def within(node: exp.Expression, outer: exp.Expression) -> bool:
    """Whether a node lies in another one, or is it."""
    place: exp.Expression | None = node
    while place is not None:
        if place is outer:
            return True
        place = place.parent
    return False


def own(select: exp.Expression, *kinds: type[exp.Expression]) -> Iterator[exp.Expression]:
    """Nodes of a select that belong to it, and not to a query within it."""
    for node in select.walk(prune=lambda node: node is not select and isinstance(node, exp.Query)):
        if isinstance(node, kinds) and not (node is not select and isinstance(node, exp.Query)):
            yield node


def is_aggregated(select: exp.Select) -> bool:
    """Whether a select makes groups: it has GROUP BY or HAVING, or an aggregate."""
    return bool(clause(select, "group") or clause(select, "having") or any(True for _ in own(select, exp.AggFunc)))


def is_cut(query: exp.Expression) -> bool:
    """Whether a query takes some of its rows by their order: LIMIT, OFFSET, FETCH, DISTINCT ON."""
    distinct = clause(query, "distinct")
    cuts = ("limit", "offset", "limit_by", "sample")
    return any(clause(query, name) for name in cuts) or bool(distinct is not None and distinct.args.get("on"))


def free_name(tree: exp.Expression, stem: str) -> str:
    """A name that the statement does not have yet."""
    names = {identifier.name.lower() for identifier in tree.root().find_all(exp.Identifier)}
    return next(name for number in range(1, 10_000) if (name := f"{stem}_{number}") not in names)


def is_plain(query: exp.Expression | None) -> bool:
    """Whether a query is one select that only chooses rows and columns: no groups, LIMIT, DISTINCT or windows."""
    if not isinstance(query, exp.Select) or is_aggregated(query) or is_cut(query):
        return False
    return not any(clause(query, name) for name in ("distinct", "with", "qualify")) and not any(
        True for _ in own(query, exp.Window)
    )


def set_where(select: exp.Select, conditions: list[exp.Expression]) -> None:
    """Give a select these conditions, joined by AND, or none."""
    where = exp.Where(this=exp.and_(*[condition.copy() for condition in conditions])) if conditions else None
    select.set("where", where)


def column(name: str, source: str | exp.Identifier) -> exp.Column:
    """A column of a source."""
    table = source.copy() if isinstance(source, exp.Identifier) else exp.to_identifier(source)
    return exp.Column(this=exp.to_identifier(name), table=table)


def named(projection: exp.Expression, value: exp.Expression) -> exp.Expression:
    """A value under the name that a projection has."""
    name = projection.args["alias"] if isinstance(projection, exp.Alias) else projection.args["this"]
    return exp.Alias(this=value, alias=name.copy())


def derived(query: exp.Expression, name: str) -> exp.Subquery:
    """A query as a source of another one."""
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(name)))

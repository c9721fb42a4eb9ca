"""Of which column and of which type an expression is. `None` wherever that is not sure."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_lowercase, ascii_uppercase

from sqlglot import exp

from superset_ext.plans.rewrite.clauses import clause, joins, sources, unaliased
from superset_ext.plans.rewrite.facts import Column, Facts, Kind

Type = exp.DataType.Type
_TYPES = {
    Type.SMALLINT: Kind.INTEGER, Type.INT: Kind.INTEGER, Type.BIGINT: Kind.INTEGER, Type.TEXT: Kind.TEXT,
    Type.BOOLEAN: Kind.BOOLEAN, Type.DATE: Kind.DATE, Type.TIMESTAMP: Kind.TIMESTAMP, Type.UUID: Kind.UUID,
    Type.DOUBLE: Kind.FLOAT, Type.FLOAT: Kind.FLOAT, Type.TIMESTAMPTZ: Kind.TIMESTAMPTZ,
}  # fmt: skip
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_PARTS = {"year", "quarter", "month", "week", "day", "dow", "doy", "hour", "minute", "isodow", "isoyear"}


def folded(identifier: exp.Expression | None, facts: Facts) -> str:
    """A name as the source's catalogue has it."""
    if not isinstance(identifier, exp.Identifier):
        return ""
    return identifier.name if identifier.args.get("quoted") and facts.engine == "postgres" else lowered(identifier.name)


def lowered(name: str) -> str:
    """A name as PostgreSQL and DuckDB lower it: the letters A to Z alone, so that `É` and `é` are two columns."""
    return name.translate(_LOWER)


def column_of(node: exp.Expression, facts: Facts) -> Column | None:
    """The column that a name means within its select."""
    select = node.find_ancestor(exp.Query)
    return column_in(select, node, facts) if isinstance(select, exp.Select) else None


def column_in(select: exp.Select, node: exp.Expression, facts: Facts) -> Column | None:
    """The column that a name means among all that a select reads."""
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
        return None
    name, source = folded(node.this, facts), folded(node.args.get("table"), facts)
    if node.args.get("db") or (start := _columns(select, facts)) is None:
        return None
    matches = [columns.get(name) for alias, columns in start if not source or alias == source]
    known = [match for match in matches if match is not None]
    return known[0] if len(known) == 1 else None


def source_of(select: exp.Select, node: exp.Column, facts: Facts) -> exp.Identifier | None:
    """The name of the source of a select that a column is of, as it is written there."""
    if column_in(select, node, facts) is None:
        return None
    name, source = folded(node.this, facts), folded(node.args.get("table"), facts)
    for place, (alias, columns) in zip(sources(select), _columns(select, facts) or [], strict=True):
        if name in columns and source in ("", alias):
            identifier = _alias(place)
            return identifier if isinstance(identifier, exp.Identifier) else None
    return None


def aliases(select: exp.Select, facts: Facts) -> set[str]:
    """The names of all that a select reads."""
    return {folded(_alias(source), facts) for source in sources(select)}


def knows_sources(select: exp.Select, facts: Facts) -> bool:
    """Whether all columns of all that a select reads are known."""
    return _columns(select, facts) is not None


def _columns(select: exp.Select, facts: Facts) -> list[tuple[str, dict[str, Column]]] | None:
    """The columns of all that a select reads, by its alias."""
    read: list[tuple[str, dict[str, Column]]] = []
    sides = [str(join.args.get("side") or "").upper() for join in joins(select)]
    for place, source in enumerate(sources(select)):
        columns = _source(source, facts)
        if columns is None:
            return None
        nulled = (place > 0 and sides[place - 1] == "LEFT") or bool({"RIGHT", "FULL"} & set(sides))
        if nulled:
            columns = {name: replace(column, nullable=True) for name, column in columns.items()}
        read.append((folded(_alias(source), facts), columns))
    names = [name for name, _ in read]
    return read if len(set(names)) == len(names) else None


def _alias(source: exp.Expression) -> exp.Expression | None:
    alias = source.args.get("alias")
    if isinstance(alias, exp.TableAlias):
        return alias.this if isinstance(alias.this, exp.Expression) else None
    return source.this if isinstance(source, exp.Table) else None


def _source(source: exp.Expression, facts: Facts) -> dict[str, Column] | None:
    alias = source.args.get("alias")
    if isinstance(alias, exp.TableAlias) and alias.args.get("columns"):
        return None
    if isinstance(source, exp.Subquery):
        plain = not any(source.args.get(name) for name in ("joins", "pivots", "sample"))
        return outputs(source.this, facts) if plain else None
    if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
        return None
    if any(source.args.get(name) for name in ("joins", "pivots", "sample", "laterals", "catalog")):
        return None
    if not source.args.get("db") and (cte := cte_of(source, facts)) is not None:
        has_names = cte.args["alias"].args.get("columns")
        return None if has_names or _is_recursive(cte) else outputs(cte.this, facts)
    relation = facts.relation(folded(source.args.get("db"), facts) or None, folded(source.this, facts))
    return None if relation is None else dict(relation.columns)


def cte_of(table: exp.Table, facts: Facts) -> exp.CTE | None:
    """The common table expression that a name means, if it means one."""
    name, below, query = folded(table.this, facts), table.find_ancestor(exp.CTE), table.find_ancestor(exp.Query)
    while query is not None:
        clause_with = clause(query, "with")
        for cte in reversed(clause_with.expressions if clause_with is not None else []):
            if cte is not below and folded(cte.args["alias"].this, facts) == name and _is_before(cte, below):
                return cte if isinstance(cte, exp.CTE) else None
        query = query.find_ancestor(exp.Query)
    return None


def _is_before(cte: exp.CTE, below: exp.CTE | None) -> bool:
    """Whether a CTE may be read in another one: it stands before it, or is another clause's."""
    if below is None or below.parent is not cte.parent or cte.parent is None:
        return True
    ctes = cte.parent.expressions
    return next(place for place, one in enumerate(ctes) if one is cte) < next(
        place for place, one in enumerate(ctes) if one is below
    )


def _is_recursive(cte: exp.CTE) -> bool:
    return bool(cte.parent is not None and cte.parent.args.get("recursive"))


def outputs(query: exp.Expression, facts: Facts) -> dict[str, Column] | None:
    """The columns that a query gives, by their names; those of unknown type are `OTHER`."""
    if not isinstance(query, exp.Select) or query.args.get("operation_modifiers"):
        return None
    columns: dict[str, Column] = {}
    for projection in query.expressions:
        named = _projected(projection, query, facts)
        if named is None or set(named) & set(columns):
            return None
        columns |= named
    return columns


def _projected(projection: exp.Expression, select: exp.Select, facts: Facts) -> dict[str, Column] | None:
    """The columns of one projection; `None` if their names are not sure."""
    if projection.is_star:
        return _starred(projection, select, facts)
    if isinstance(projection, exp.Alias):
        name = folded(projection.args["alias"], facts)
    elif isinstance(projection, exp.Column):
        name = folded(projection.this, facts)
    else:
        return None
    column = kind_of(unaliased(projection), facts) or Column(name, Kind.OTHER, identical=False)
    return {name: replace(column, name=name)}


def _starred(star: exp.Expression, select: exp.Select, facts: Facts) -> dict[str, Column] | None:
    inner = star.this if isinstance(star, exp.Column) else star
    if any(inner.args.get(name) for name in ("except_", "except", "replace", "rename")):
        return None
    if any(join.args.get("using") or join.args.get("method") for join in joins(select)):
        return None
    source = folded(star.args.get("table"), facts) if isinstance(star, exp.Column) else ""
    read = _columns(select, facts)
    columns: dict[str, Column] = {}
    for alias, more in read or []:
        if source in ("", alias):
            if set(more) & set(columns):
                return None
            columns |= more
    return None if read is None else columns


def kind_of(node: exp.Expression, facts: Facts) -> Column | None:
    """What is known of the values of an expression, as a column."""
    match node:
        case exp.Column():
            return column_of(node, facts)
        case exp.Paren():
            return kind_of(node.this, facts)
        case exp.Literal():
            return _plain(Kind.TEXT if node.is_string else Kind.INTEGER) if node.is_string or node.is_int else None
        case exp.Cast() if not isinstance(node, exp.TryCast):
            kind = _TYPES.get(node.to.this) if not node.to.expressions else None
            return None if kind is None else Column("", kind, identical=kind != Kind.FLOAT)
        case exp.Count():
            return _plain(Kind.INTEGER)
        case exp.Sum() | exp.Min() | exp.Max():
            return _aggregated(node, facts)
        case exp.TimestampTrunc() | exp.DateTrunc():
            return _truncated(node, facts)
        case exp.Extract() if node.this.name.lower() in _PARTS:
            return Column("", Kind.DECIMAL if facts.engine == "postgres" else Kind.INTEGER)
        case exp.Add() | exp.Sub() | exp.Mul():
            sides = [kind_of(side, facts) for side in (node.left, node.right)]
            return Column("", Kind.INTEGER) if all(side and side.kind == Kind.INTEGER for side in sides) else None
        case exp.Lower() | exp.Upper():
            inner = kind_of(node.this, facts)
            return Column("", Kind.TEXT) if inner and inner.kind == Kind.TEXT and inner.identical else None
    return None


def _plain(kind: Kind) -> Column:
    return Column("", kind, nullable=False)


def _aggregated(node: exp.Expression, facts: Facts) -> Column | None:
    inner = kind_of(node.this, facts)
    if inner is None or inner.kind == Kind.OTHER:
        return None
    kind = Kind.DECIMAL if isinstance(node, exp.Sum) and inner.kind == Kind.INTEGER else inner.kind
    return Column("", kind, identical=inner.identical)


def _truncated(node: exp.Expression, facts: Facts) -> Column | None:
    """date_trunc of a date is a timestamp with time zone on PostgreSQL, and a date or a timestamp on DuckDB."""
    inner = kind_of(node.this, facts)
    if inner is None or inner.kind not in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return None
    kind = Kind.TIMESTAMPTZ if inner.kind == Kind.DATE else inner.kind
    return Column("", kind)

"""Names as a source has them, and columns without the name of their table."""

from __future__ import annotations

from sqlglot import exp

from superset_ext.plans.rewrite.kinds import lowered


def folded(identifier: exp.Expression | None, engine: str) -> str:
    """A name as the catalogue has it: PostgreSQL lowers what is not quoted, DuckDB compares without case."""
    if not isinstance(identifier, exp.Identifier):
        return ""
    return identifier.name if identifier.args.get("quoted") and engine == "postgres" else lowered(identifier.name)


def column(name: str) -> exp.Column:
    """A column without its table, as all expressions here have it."""
    return exp.Column(this=exp.Identifier(this=name, quoted=True))


def is_bare(node: object) -> bool:
    """Whether a node is a column."""
    return isinstance(node, exp.Column)


def in_schema(tree: exp.Expression, schema: str, engine: str) -> exp.Expression:
    """A copy whose tables without a schema have this one, all names quoted; the tree itself without a schema to give.

    Names of PostgreSQL's own catalogue are found there first, whatever the schema, and names of WITH are no tables.
    """
    if not schema:
        return tree
    copy = tree.copy()
    own = {folded(part.args["alias"].this, engine) for part in copy.find_all(exp.CTE)}
    for table in copy.find_all(exp.Table):
        name, given = folded(table.this, engine), folded(table.args.get("db"), engine)
        if name and (given or not (name in own or name.startswith("pg_"))):
            table.set("this", exp.Identifier(this=name, quoted=True))
            table.set("db", exp.Identifier(this=given or schema, quoted=True))
    return copy

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

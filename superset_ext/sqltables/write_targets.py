"""What a statement writes, by its syntax tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from superset_ext.sqltables.reads import CHANGING, QUERIES, Walk, parts_of
from superset_ext.sqltables.statement import Statement, words_of
from superset_ext.sqltables.table import Table, Unknown, table_of
from superset_ext.sqltables.written import Written

# Words of MySQL and T-SQL that sqlglot takes for names.
_NO_NAMES = words_of("DELETE UPDATE INSERT MERGE TRUNCATE DROP ALTER CREATE EXEC EXECUTE LOW_PRIORITY QUICK IGNORE TOP")


def of_tree(statement: Statement) -> Written:
    """What a statement writes that sqlglot understands.

    Raises:
        Unknown: something may be written that it does not name.
    """
    tree, dialect = statement.tree(), statement.dialect
    if not isinstance(tree, (*QUERIES, exp.Create, exp.TruncateTable, exp.Copy)):
        raise Unknown(tree.key)
    if any(not name.quoted and name.name.upper() in _NO_NAMES for name in tree.find_all(exp.Identifier)):
        raise Unknown("a keyword as name")
    made: set[Table] = set()
    tables: set[Table] = set()
    for node in tree.find_all(exp.Create, exp.Into):
        made |= _made(node)
    for node in tree.find_all(*CHANGING, exp.TruncateTable, exp.Copy, exp.Returning):
        if not isinstance(node.parent, exp.When):  # a part of MERGE
            tables |= _changed(node, dialect)
    return Written(frozenset(made | tables), schema_change=bool(made), rows=frozenset(tables))


def _made(node: exp.Expression) -> set[Table]:
    """What CREATE or SELECT INTO makes.

    Raises:
        Unknown: neither a table nor a view: a function may change what every query returns.
    """
    if isinstance(node, exp.Create) and node.kind == "INDEX":
        return set()
    if isinstance(node, exp.Create) and node.kind not in ("TABLE", "VIEW"):
        raise Unknown(node.kind)
    return _named([node.this])


def _changed(node: exp.Expression, dialect: Dialect) -> set[Table]:
    """The tables whose rows a statement, or a part of one, changes.

    Raises:
        Unknown: it cannot be known which.
    """
    if isinstance(node, exp.Returning):
        return _named([node.args["into"]]) if node.args.get("into") else set()
    if isinstance(node, exp.TruncateTable):
        if str(node.args.get("option") or "").upper() == "CASCADE":
            raise Unknown("TRUNCATE")
        return _named(node.expressions)
    if isinstance(node, exp.Copy):
        return _named([node.this]) if node.args.get("kind") else set()
    return _through_ctes(node, [node.this] if isinstance(node, exp.Insert) else _aimed_at(node), dialect)


def _aimed_at(node: exp.Expression) -> list[Any]:
    """What UPDATE, DELETE or MERGE is aimed at, which it may name by an alias of its FROM clause.

    Of several tables that MySQL joins in UPDATE, all are taken for changed.
    """
    own, named = _joined(node.this), node.args.get("tables") or []
    sources = [*own, *_joined(node.args.get("using")), *_joined(node.args.get("from_"))]
    by_name = {source.alias_or_name.casefold(): source for source in sources}
    matches = [by_name.get(_bare(target)) for target in named or own]
    unaliased = [
        target for target, source in zip(named or own, matches, strict=True) if source is None or not source.alias
    ]
    aims = [*unaliased, *(source for source in matches if source is not None)]
    return aims if all(matches) else aims + own  # T-SQL finds a target that its FROM clause does not have


def _bare(node: Any) -> str:
    return node.name.casefold() if isinstance(node, exp.Table) and not node.args.get("db") else ""


def _joined(node: Any) -> list[Any]:
    """The sources of a FROM clause, or of the like."""
    if isinstance(node, list):
        return [source for part in node for source in _joined(part)]
    if isinstance(node, (exp.From, exp.Join)):
        return _joined(node.this)
    return [] if node is None else [node, *_joined(node.args.get("joins") or [])]


def _named(nodes: Iterable[Any]) -> set[Table]:
    return {table_of([part.name for part in parts_of(table)]) for node in nodes for table in _targets(node)}


def _targets(node: Any) -> list[exp.Table]:
    """The tables that are written where this stands as the target; what is outside of the database is none.

    Raises:
        Unknown: a function stands there, or something that is not understood.
    """
    target = node.this if isinstance(node, exp.Schema) else node
    if isinstance(target, exp.Identifier):
        return [exp.Table(this=target)]
    if isinstance(target, exp.Subquery):  # Oracle writes through it
        return list(target.find_all(exp.Table))
    if isinstance(target, (exp.Directory, exp.Parameter)):
        return []
    if not isinstance(target, exp.Table) or isinstance(target.this, exp.Func):
        raise Unknown(str(target))
    session = isinstance(target.this, (exp.Parameter, exp.Var)) or target.this.args.get("temporary")
    return [] if session else [target]


def _through_ctes(node: exp.Expression, targets: list[Any], dialect: Dialect) -> set[Table]:
    """The tables of the targets; T-SQL writes through a CTE to what that reads."""
    with_ = node.args.get("with_")
    bodies = {cte.alias.casefold(): cte.this for cte in with_.expressions} if with_ else {}
    read = [Walk(bodies[_bare(target)], dialect).sources() for target in targets if _bare(target) in bodies]
    return _named(targets).union(*read)

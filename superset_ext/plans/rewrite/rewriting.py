"""Applying rules to one statement: parsed once, changed on a copy, printed only where a rule applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import SqlglotError

from superset_ext.plans.rewrite.copying import nodes
from superset_ext.plans.rewrite.facts import Facts
from superset_ext.plans.rewrite.lists import trees
from superset_ext.plans.rewrite.printing import is_printed_as_read
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict
from superset_ext.sqltables.statement import silent_parser

Rule = Callable[[Statement], Verdict]
ENGINES = ("postgres", "duckdb")
_WRITES = (exp.DML, exp.Into, exp.Lock, exp.Command)
_LIMIT = 64 * 1024  # characters; what is longer takes long to parse


@dataclass(frozen=True)
class Rewriting:
    """A statement and what rules made of it.

    Attributes:
        sql: the new text; the very one that was given, where no rule applied.
        verdicts: what the rules say of it, by their names, in their order.
        reason: why no rule was asked; empty, if they were.
    """

    sql: str
    verdicts: dict[str, Verdict]
    reason: str = ""

    @property
    def applied(self) -> tuple[str, ...]:
        """The names of the rules that changed the statement."""
        return tuple(name for name, verdict in self.verdicts.items() if verdict.changed)

    @property
    def times(self) -> float:
        """How many times as fast the best of them should make it."""
        return max((verdict.times for verdict in self.verdicts.values() if verdict.changed), default=1.0)

    @property
    def below(self) -> int | None:
        """The answer is only sure where fewer rows than this come back; `None`: always."""
        bounds = [verdict.below for verdict in self.verdicts.values() if verdict.changed and verdict.below is not None]
        return min(bounds, default=None)


def rewritten(sql: str, facts: Facts, rules: Sequence[Rule]) -> Rewriting:
    """A statement after all rules that apply to it, one after the other."""
    tree = parsed(sql, facts.engine)
    if isinstance(tree, str):
        return Rewriting(sql, {}, tree)
    statement = Statement(tree, facts)
    verdicts = {rule.__name__: rule(statement) for rule in rules}
    applied = any(verdict.changed for verdict in verdicts.values())
    return Rewriting(statement.tree.sql(dialect=facts.engine) if applied else sql, verdicts)


@silent_parser()
def parsed(sql: str, engine: str) -> exp.Query | str:
    """One SELECT as a tree, or why it is none that may be rewritten."""
    if engine not in ENGINES:
        return "only statements of PostgreSQL and DuckDB are rewritten"
    if len(sql) > _LIMIT:
        return "the statement is longer than 64 KB"
    try:
        whole = trees(sql, engine)
        (tree,) = whole if len(whole) == 1 else (None,)
        if not isinstance(tree, exp.Select | exp.SetOperation):
            return "it is not exactly one SELECT"
        if any(isinstance(node, _WRITES) for node in nodes(tree)):
            return "it writes or locks"
        if not is_printed_as_read(tree, sql, engine):  # what is printed must mean what was read
            return "sqlglot does not print this statement as it read it"
    except (SqlglotError, RecursionError, ValueError):
        return "sqlglot cannot parse it"
    return tree

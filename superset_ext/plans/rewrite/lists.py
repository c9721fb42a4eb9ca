"""Parsing without long lists: of `IN ('a', 'b', …)` sqlglot reads one constant, and the others are put in afterwards.

For each constant sqlglot asks anew whether it begins a query, a function, a type or a sum, which takes longer than all
else in a statement with a list. The trees are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokens import Token, TokenType

from superset_ext.plans.rewrite.copying import nodes

_CONSTANTS = (TokenType.STRING, TokenType.NUMBER)
_FEW = 3  # constants that are not worth it
_MARK = "\0"  # in no text that a source would take


def trees(sql: str, engine: str) -> list[exp.Expression]:
    """The trees of a text's statements.

    Raises:
        SqlglotError: it has none.
    """
    dialect = Dialect.get_or_raise(engine)
    tokens = dialect.tokenize(sql)
    lists = [] if _MARK in sql or any(token.comments for token in tokens) else list(_lists(tokens))
    if lists:
        made = _parsed(dialect, list(_without(tokens, lists)), sql)
        if _put_in(made, [tokens[first : last + 1 : 2] for first, last in lists]):
            return made
    return _parsed(dialect, tokens, sql)


def _parsed(dialect: Dialect, tokens: list[Token], sql: str) -> list[exp.Expression]:
    return [tree for tree in dialect.parser().parse(tokens, sql) if tree is not None]


def _lists(tokens: list[Token]) -> Iterator[tuple[int, int]]:
    """The places of the first and the last constant of each list that has nothing else in it."""
    for place, token in enumerate(tokens[:-2]):
        if token.token_type is TokenType.IN and tokens[place + 1].token_type is TokenType.L_PAREN:
            last = place + 2
            kinds = [one.token_type for one in tokens[last : last + 2]]
            while len(kinds) == 2 and kinds[0] in _CONSTANTS and kinds[1] is TokenType.COMMA:
                last += 2
                kinds = [one.token_type for one in tokens[last : last + 2]]
            if last - place > 2 * _FEW and kinds[0] in _CONSTANTS and kinds[1:] == [TokenType.R_PAREN]:
                yield place + 2, last


def _without(tokens: list[Token], lists: list[tuple[int, int]]) -> Iterator[Token]:
    """The tokens with one constant in the place of each list, whose text is the list's number."""
    begun = 0
    for number, (first, last) in enumerate(lists):
        yield from tokens[begun:first]
        one = tokens[first]
        yield Token(TokenType.STRING, f"{_MARK}{number}", one.line, one.col, one.start, one.end)
        begun = last + 1
    yield from tokens[begun:]


def _put_in(made: list[exp.Expression], lists: list[list[Token]]) -> bool:
    """Whether each list was put into the place that it has."""
    left = {f"{_MARK}{number}": constants for number, constants in enumerate(lists)}
    for node in (node for tree in made for node in nodes(tree) if isinstance(node, exp.In)):
        values = node.expressions
        constants = left.pop(values[0].name, None) if len(values) == 1 and type(values[0]) is exp.Literal else None
        if constants:
            node.set("expressions", [_literal(token) for token in constants])
    return not left


def _literal(token: Token) -> exp.Literal:
    return exp.Literal(this=token.text, is_string=token.token_type is TokenType.STRING)

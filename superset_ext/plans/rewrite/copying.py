"""Copies of expressions, and walks over them, where sqlglot's own would take the most of the time of a match.

What is copied are the nodes and their arguments. Where a node stood in a text, and comments, are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeVar

from sqlglot import exp

Node = TypeVar("Node", bound=exp.Expression)
_TYPES = 200  # that are remembered


def copied(node: Node) -> Node:
    """A copy of an expression that is part of none."""
    own = type(node)()
    for name, value in node.args.items():
        own.set(name, _copied(value))
    return own


def _copied(value: object) -> object:
    if isinstance(value, exp.Expression):
        return copied(value)
    return [_copied(one) for one in value] if isinstance(value, list) else value


def nodes(tree: exp.Expression) -> Iterator[exp.Expression]:
    """All nodes of an expression but its constants, of which a list may have thousands; in no order."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for value in node.args.values():
            if isinstance(value, list):
                waiting += [one for one in value if isinstance(one, exp.Expression) and type(one) is not exp.Literal]
            elif isinstance(value, exp.Expression) and type(value) is not exp.Literal:
                waiting.append(value)


def columns(tree: exp.Expression) -> Iterator[exp.Column]:
    """The columns in an expression."""
    return (node for node in nodes(tree) if isinstance(node, exp.Column))


def has_aggregate(tree: exp.Expression) -> bool:
    """Whether there is an aggregate in an expression."""
    return any(isinstance(node, exp.AggFunc) for node in nodes(tree))


def typed(node: exp.Expression, name: str) -> exp.Cast:
    """An expression as a type of this name."""
    return exp.Cast(this=node, to=copied(_type(name)))


@lru_cache(_TYPES)
def _type(name: str) -> exp.DataType:
    return exp.DataType.build(name)

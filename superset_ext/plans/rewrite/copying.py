"""Copies of expressions, and walks over them, where sqlglot's own would take the most of the time of a match.

What is copied are the nodes and their arguments. Where a node stood in a text, and comments, are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeVar

from sqlglot import exp

Node = TypeVar("Node", bound=exp.Expression)
Instead = Callable[[exp.Expression], exp.Expression | None]  # what stands in the place of a node; `None`: itself
_TYPES = 200  # that are remembered


def copied(node: Node) -> Node:
    """A copy of an expression that is part of none."""
    own = type(node)()
    for name, value in node.args.items():
        if isinstance(value, exp.Expression):
            _put(own, name, copied(value))
        elif type(value) is list:
            _put_all(own, name, [copied(one) if isinstance(one, exp.Expression) else one for one in value])
        elif value is not None:
            own.args[name] = value
    return own


def replaced(node: exp.Expression, instead: Instead) -> exp.Expression:
    """A copy of an expression with others in the place of some of its parts, or of the whole; of constants none."""
    other = instead(node)
    if other is not None:
        return other
    own = type(node)()
    for name, value in node.args.items():
        if isinstance(value, exp.Expression):
            _put(own, name, _replaced(value, instead))
        elif type(value) is list:
            _put_all(own, name, [_replaced(one, instead) if isinstance(one, exp.Expression) else one for one in value])
        elif value is not None:
            own.args[name] = value
    return own


def _replaced(node: exp.Expression, instead: Instead) -> exp.Expression:
    return copied(node) if type(node) is exp.Literal else replaced(node, instead)


def _put(own: exp.Expression, name: str, part: exp.Expression) -> None:
    """As `set` of sqlglot, of a node that is new: nothing of it was remembered yet."""
    own.args[name] = part
    part.parent, part.arg_key = own, name


def _put_all(own: exp.Expression, name: str, parts: list[object]) -> None:
    own.args[name] = parts
    for place, part in enumerate(parts):
        if isinstance(part, exp.Expression):
            part.parent, part.arg_key, part.index = own, name, place


def nodes(tree: exp.Expression, but: exp.Expression | None = None) -> Iterator[exp.Expression]:
    """All nodes of an expression but its constants, of which a list may have thousands; in no order.

    Args:
        but: a part that is left out, with all that is in it.
    """
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for value in node.args.values():
            if type(value) is list:
                waiting += [one for one in value if isinstance(one, exp.Expression) and type(one) is not exp.Literal]
            elif isinstance(value, exp.Expression) and type(value) is not exp.Literal and value is not but:
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

"""SQL that can be planned, from text whose values were left out.

The query log keeps `?` for each value or list of values. Each becomes a parameter, so that PostgreSQL makes the plan
that it makes for any value. Two that must be one value are one parameter: what GROUP BY repeats of the list of columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from sqlglot import exp

from superset_ext.plans.indexes.resolve import unlabelled
from superset_ext.plans.indexes.uses import tree_of

_TYPED = re.compile(
    r"\b(DATE|TIMESTAMP|TIMESTAMPTZ|TIME|INTERVAL) \?(?: (?:YEAR|MONTH|DAY|HOUR|MINUTE|SECOND)S?\b)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Plannable:
    """A statement that can be planned.

    Attributes:
        tree: it, as sqlglot parses it.
        sql: as it is sent.
        parameters: how many `$1`, `$2` and so on it has.
    """

    tree: exp.Query
    sql: str
    parameters: int


def plannable(text: str) -> Plannable | None:
    """The statement of a text with or without values; `None` where it is not one single query, or cannot be parsed.

    What is sent is written anew from the tree, so that it is one statement whatever the text has.
    """
    tree = tree_of(_TYPED.sub(r"CAST(? AS \1)", text))
    if tree is None:
        return None
    for select in tree.find_all(exp.Select):
        _name_groups(select)
    parameters = _number(tree)
    return Plannable(tree, tree.sql("postgres", comments=False), parameters)


def _name_groups(select: exp.Select) -> None:
    """GROUP BY places in the list of columns, whose numbers were left out: by all of them that are no aggregate."""
    group = select.args.get("group")
    if group is not None and any(isinstance(item, exp.Placeholder) for item in group.expressions):
        columns = [unlabelled(item) for item in select.selects]
        group.set("expressions", [item.copy() for item in columns if _groups(item)])


def _groups(item: exp.Expression) -> bool:
    """Whether a column is one to group by: it reads columns, and no aggregate."""
    return item.find(exp.AggFunc) is None and item.find(exp.Column) is not None


def _number(tree: exp.Query) -> int:
    """Make a parameter of each value that was left out, and return how many there are."""
    numbers: dict[int, int] = {}
    fresh = count(1)
    for select in tree.find_all(exp.Select):
        shared = {item.sql("postgres"): item for item in _grouped(select)}
        for item in shared.values():
            numbers.update({id(node): next(fresh) for node in _values(item) if id(node) not in numbers})
        for node in _repeating(select):
            original = shared.get(node.sql("postgres"))
            if original is not None and original is not node:
                pairs = zip(_values(node), _values(original), strict=True)
                numbers.update({id(copy): numbers[id(value)] for copy, value in pairs})
    nodes = list(tree.find_all(exp.Placeholder))
    for node in nodes:
        number = numbers.get(id(node)) or next(fresh)
        node.replace(exp.Parameter(this=exp.Literal.number(number)))
    return next(fresh) - 1


def _grouped(select: exp.Select) -> list[exp.Expression]:
    group = select.args.get("group")
    return [item for item in group.expressions if item.find(exp.Placeholder)] if group is not None else []


def _repeating(select: exp.Select) -> Iterator[exp.Expression]:
    """The expressions that stand where what is grouped by may be repeated."""
    for part in (*select.expressions, select.args.get("group"), select.args.get("having"), select.args.get("order")):
        if part is not None:
            yield from part.walk()


def _values(node: exp.Expression) -> list[exp.Expression]:
    return list(node.find_all(exp.Placeholder))

"""Many aggregates without a server, and statements as charts make them: for what looks one up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.shape import shape_of
from superset_ext.aggregates.view import View
from superset_ext.plans.rewrite.facts import Column, Kind
from superset_ext.plans.rewrite.rewriting import parsed

_COLUMNS = {
    **{f"text_{number}": Kind.TEXT for number in range(12)},
    **{f"number_{number}": Kind.DECIMAL for number in range(8)}, "at": Kind.TIMESTAMP, "size": Kind.INTEGER,
}  # fmt: skip
COLUMNS = {name: Column(name, kind) for name, kind in _COLUMNS.items()}


def statement(some: random.Random, table: str, measures: int = 3) -> str:
    """A statement as charts make them."""
    keys = [f"text_{number}" for number in some.sample(range(12), some.randint(1, 3))]
    if some.random() < 0.6:
        keys.append(f"DATE_TRUNC('{some.choice(('day', 'week', 'month', 'year'))}', at)")
    numbers = some.sample(range(8), measures)
    values = [f"{some.choice(('SUM', 'AVG', 'MAX'))}(number_{number})" for number in numbers]
    outputs = [f"{value} AS o{place}" for place, value in enumerate([*keys, "COUNT(*)", *values])]
    constants = ", ".join(f"'{some.randint(0, 999)}'" for _ in range(some.randint(1, 20)))
    where = (
        f"text_{some.randint(0, 3)} IN ({constants}) AND at >= '2024-0{some.randint(1, 9)}-01' AND at < '2025-01-01'"
    )
    group = ", ".join(str(place) for place in range(1, len(keys) + 1))
    return (
        f"SELECT {', '.join(outputs)} FROM {table} WHERE {where} GROUP BY {group} "
        f"ORDER BY {group} LIMIT {some.randint(10, 10_000)}"
    )


def views(some: random.Random, tables: Sequence[str], many: int) -> list[View]:
    """Aggregates, each for three statements of a table."""
    made = []
    for number in range(many):
        table = tables[number % len(tables)]
        shapes = [shape_of(_tree(statement(some, table)), "postgres", COLUMNS) for _ in range(3)]
        whole = needs(shapes[0], "UTC")
        for shape in shapes[1:]:
            whole = whole.merged(needs(shape, "UTC"))
        view = whole.view(f"aggregates.a_{number}")
        types = {view.names[one]: "numeric" for one in view.measures}
        made.append(replace(view.typed(types), rows=some.randint(10, 1_000_000)))
    return made


def _tree(sql: str) -> exp.Query:
    tree = parsed(sql, "postgres")
    assert not isinstance(tree, str), tree
    return tree

"""DuckDB's EXPLAIN (FORMAT JSON), and with ANALYZE, as a tree.

Only what is named here goes into the tree, see `postgresql.py`. DuckDB's planner has no costs: what stands as a cost is
how many rows a step and those below it are expected to take and to give. Of what was run, DuckDB tells the time of each
step alone; here it is with what is below, as of every engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from superset_ext.plans.tree import Actual, Node, Plan
from superset_ext.plans.words import Words

ENGINE = "duckdb"
# Steps that other engines have too, by the names that rules know them by. Others are written as `Top N` for TOP_N.
_KINDS = {
    "SEQ_SCAN": "Seq Scan", "TABLE_SCAN": "Seq Scan", "INDEX_SCAN": "Index Scan", "HASH_GROUP_BY": "Aggregate",
    "PERFECT_HASH_GROUP_BY": "Aggregate", "UNGROUPED_AGGREGATE": "Aggregate", "PARTITIONED_AGGREGATE": "Aggregate",
    "ORDER_BY": "Sort", "HASH_JOIN": "Hash Join", "NESTED_LOOP_JOIN": "Nested Loop", "BLOCKWISE_NL_JOIN": "Nested Loop",
    "CTE": "CTE", "CTE_SCAN": "CTE Scan",
}  # fmt: skip
_CONDITIONS = {"Filters": "Filter", "Expression": "Filter", "Conditions": "Hash Cond"}
_KEYS = {"Order By": "Sort Key", "Groups": "Group Key"}
_FREE = ("Projection", "Explain Analyze")  # steps that only rename or hand on
_ONE = "UNGROUPED_AGGREGATE"
_ROWS = "Estimated Cardinality"
Value = Mapping[str, Any]


def plan_from(value: Any, version: int, words: Words) -> Plan:
    """The plan that DuckDB has written as JSON, without the values of its query.

    Args:
        value: of EXPLAIN a list of one step; of EXPLAIN ANALYZE the whole run.
        version: such as 10503 for 1.5.3.
        words: of the query.
    """
    was_run = isinstance(value, Mapping)
    steps = value["children"] if was_run else value
    while len(steps) == 1 and _name(steps[0]) == "EXPLAIN_ANALYZE":
        steps = steps[0]["children"]
    ms = value.get("latency", 0.0) * 1000 if was_run else None
    return Plan(engine=ENGINE, version=version, root=_node(steps[0], words, count(1)), execution_ms=ms)


def _name(value: Value) -> str:
    return str(value.get("operator_name") or value.get("name") or "").strip()


def _node(value: Value, words: Words, numbers: Iterator[int]) -> Node:
    number, name, extra = next(numbers), _name(value), value.get("extra_info") or {}
    children = tuple(_node(child, words, numbers) for child in value.get("children", ()))
    kind = _KINDS.get(name, name.replace("_", " ").title())
    rows = _rows(name, extra, children)
    place = str(extra.get("Table", "")).split(".")
    return Node(
        number=number, kind=kind, relation=place[-1] or None, schema=place[-2] if len(place) > 1 else None,
        rows=rows, cost=_cost(kind, rows, children), actual=_actual(value, children),
        conditions=_conditions(extra, words), keys=_keys(extra, words), numbers=_numbers(value),
        words={"Join Type": str(extra["Join Type"]).title()} if "Join Type" in extra else {}, children=children,
    )  # fmt: skip


def _rows(name: str, extra: Value, children: Sequence[Node]) -> float:
    """What the planner expects; where it does not say, as many as come in."""
    text = str(extra.get(_ROWS, ""))
    if text.isdecimal():
        return float(text)
    return 1.0 if name == _ONE else max((child.rows for child in children), default=0.0)


def _cost(kind: str, rows: float, children: Sequence[Node]) -> float:
    own = 0.0 if kind in _FREE else rows + sum(child.rows for child in children)
    return own + sum(child.cost for child in children)


def _actual(value: Value, children: Sequence[Node]) -> Actual | None:
    if "operator_timing" not in value:
        return None
    below = sum(child.actual.ms for child in children if child.actual is not None)
    return Actual(float(value.get("operator_cardinality", 0)), 1.0, value["operator_timing"] * 1000 + below)


def _texts(item: Any) -> tuple[str, ...]:
    return tuple(map(str, item)) if isinstance(item, list) else (str(item),)


def _conditions(extra: Value, words: Words) -> dict[str, str]:
    return {
        name: words.expression(" AND ".join(_texts(extra[key]))) for key, name in _CONDITIONS.items() if extra.get(key)
    }


def _keys(extra: Value, words: Words) -> dict[str, tuple[str, ...]]:
    return {name: tuple(map(words.expression, _texts(extra[key]))) for key, name in _KEYS.items() if extra.get(key)}


def _numbers(value: Value) -> dict[str, float]:
    """What was counted of a step that was run."""
    names = {"operator_rows_scanned": "Rows Scanned", "system_peak_temp_dir_size": "Temporary Bytes"}
    return {name: float(value[key]) for key, name in names.items() if value.get(key)}

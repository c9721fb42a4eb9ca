"""PostgreSQL's EXPLAIN (FORMAT JSON) as a tree.

Only what is named here goes into the tree, so that nothing of a later version brings a value with it. With VERBOSE
each column is written with what the query calls its table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from superset_ext.plans.tree import Actual, Node, Plan
from superset_ext.plans.words import Words

ENGINE = "postgresql"
_CONDITIONS = (
    "Filter", "Index Cond", "Recheck Cond", "Join Filter", "Hash Cond", "Merge Cond", "TID Cond", "One-Time Filter",
    "Order By", "Function Call", "Table Function Call", "Cache Key", "Run Condition",
)  # fmt: skip
_KEYS = ("Sort Key", "Presorted Key", "Group Key", "Order By", "Function Calls")
# What the planner or the executor chose, of few words each.
_WORDS = (
    "Join Type", "Strategy", "Partial Mode", "Scan Direction", "Sort Method", "Sort Space Type", "Command",
    "Cache Mode", "Operation",
)  # fmt: skip
_IN_TREE = {"Startup Cost", "Total Cost", "Plan Rows", "Plan Width"}
_SETTING = re.compile(r"[\w.]+")
_CTE = "CTE "


def plan_from(value: Mapping[str, Any], version: int, words: Words) -> Plan:
    """The plan that PostgreSQL has written as JSON, without the values of its query.

    Args:
        value: the one element of its list.
        version: the server's, as `server_version_num` has it.
        words: of the query.
    """
    settings = {name: text for name, text in value.get("Settings", {}).items() if _SETTING.fullmatch(text)}
    timing = value.get("JIT", {}).get("Timing", {})
    return Plan(
        engine=ENGINE, version=version, root=_node(value["Plan"], words, count(1)), settings=settings,
        planning_ms=value.get("Planning Time"), execution_ms=value.get("Execution Time"),
        compiling_ms=timing.get("Total"),
    )  # fmt: skip


def _node(value: Mapping[str, Any], words: Words, numbers: Iterator[int]) -> Node:
    number = next(numbers)
    return Node(
        number=number, kind=str(value["Node Type"]), relation=value.get("Relation Name") or value.get("Function Name"),
        schema=value.get("Schema"), index=value.get("Index Name"), alias=_name(value, "Alias", words),
        part=_part(value, words), cost=value.get("Total Cost", 0.0), start_cost=value.get("Startup Cost", 0.0),
        rows=value.get("Plan Rows", 0.0), width=value.get("Plan Width", 0.0), actual=_actual(value),
        conditions={name: words.expression(value[name]) for name in _CONDITIONS if isinstance(value.get(name), str)},
        keys=_keys(value, words), numbers=_numbers(value),
        words=_chosen(value, words),
        children=tuple(_node(child, words, numbers) for child in value.get("Plans", ())),
    )  # fmt: skip


def _name(value: Mapping[str, Any], key: str, words: Words) -> str | None:
    return words.name(value[key]) if key in value else None


def _part(value: Mapping[str, Any], words: Words) -> str | None:
    """What a node is to its parent, where it is no input; a CTE by its name."""
    relationship, name = value.get("Parent Relationship"), value.get("Subplan Name", "")
    if name.startswith(_CTE):
        return _CTE + words.name(name.removeprefix(_CTE))
    return relationship if relationship in ("InitPlan", "SubPlan", "Subquery") else None


def _actual(value: Mapping[str, Any]) -> Actual | None:
    if "Actual Loops" not in value:
        return None
    loops = value["Actual Loops"]
    return Actual(value.get("Actual Rows", 0.0), loops, value.get("Actual Total Time", 0.0) * loops)


def _keys(value: Mapping[str, Any], words: Words) -> dict[str, tuple[str, ...]]:
    return {name: tuple(map(words.expression, value[name])) for name in _KEYS if isinstance(value.get(name), list)}


def _numbers(value: Mapping[str, Any]) -> dict[str, float]:
    """What was counted, of all loops together or of one, as PostgreSQL has it."""
    numbers = {
        name: float(item)
        for name, item in value.items()
        if isinstance(item, int | float) and name not in _IN_TREE and not name.startswith("Actual")
    }
    for worker in value.get("Workers", ()):
        if "Sort Space Used" in worker:  # each worker sorts its own part
            numbers["Sort Space Used"] = max(numbers.get("Sort Space Used", 0.0), worker["Sort Space Used"])
        for name in ("Peak Memory Usage", "Disk Usage", "HashAgg Batches"):
            if name in worker:
                numbers[name] = max(numbers.get(name, 0.0), worker[name])
    return numbers


def _chosen(value: Mapping[str, Any], words: Words) -> dict[str, str]:
    chosen = {name: str(value[name]) for name in _WORDS if name in value}
    for worker in value.get("Workers", ()):
        if worker.get("Sort Space Type") == "Disk":
            chosen |= {name: worker[name] for name in ("Sort Method", "Sort Space Type") if name in worker}
    if "CTE Name" in value:
        chosen["CTE Name"] = words.name(value["CTE Name"])
    return chosen

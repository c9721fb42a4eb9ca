"""One typed tree for the plans of all engines that explain themselves. It never holds a value of the query."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Actual:
    """What running a node has shown.

    Attributes:
        rows: that it returned in one loop, on average.
        loops: how often it was run.
        ms: milliseconds of all loops, with what is below it; 0 where nobody took the time.
    """

    rows: float
    loops: float
    ms: float

    @property
    def all_rows(self) -> float:
        """The rows of all its loops."""
        return self.rows * self.loops


@dataclass(frozen=True, slots=True)
class Node:
    """A step of a plan.

    Attributes:
        number: its place in the plan, from 1, parents first.
        kind: the engine's name of it, such as `Seq Scan`.
        relation, schema, index: what it reads, as the source calls it.
        alias: what the query calls that.
        part: what it is to its parent where that is no input: `InitPlan`, `SubPlan`, `Subquery`.
        cost, start_cost: the planner's, with what is below it.
        rows, width: rows that the planner expects of one loop, and the bytes of each.
        actual: what running it has shown; `None` if it was not run.
        conditions: texts without values, by the engine's names: `Filter`, `Index Cond`, `Hash Cond`, …
        keys: lists of such texts: `Sort Key`, `Group Key`, …
        numbers: what the engine counted, by its names: `Rows Removed by Filter`, `Heap Fetches`, …
        words: what the engine chose, by its names: `Join Type`, `Strategy`, `Sort Method`, …
        children: its inputs and its parts.
    """

    number: int
    kind: str
    relation: str | None = None
    schema: str | None = None
    index: str | None = None
    alias: str | None = None
    part: str | None = None
    cost: float = 0.0
    start_cost: float = 0.0
    rows: float = 0.0
    width: float = 0.0
    actual: Actual | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    children: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in the order of their numbers."""
        yield self
        for child in self.children:
            yield from child.walk()

    def number_of(self, name: str) -> float:
        """What the engine counted under a name, 0 where it did not."""
        return self.numbers.get(name, 0.0)

    @property
    def texts(self) -> str:
        """All of its expressions as one text."""
        return "\n".join([*self.conditions.values(), *(key for keys in self.keys.values() for key in keys)])

    @property
    def reads_all(self) -> bool:
        """Whether it is a scan that looks at every row of what it reads."""
        is_index = self.kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in self.conditions
        return self.kind == "Seq Scan" or is_index

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The children that give it rows, without the parts that are run for their value."""
        return tuple(child for child in self.children if child.part not in ("InitPlan", "SubPlan"))


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine answers a query.

    Attributes:
        engine: SQLAlchemy's name of the engine.
        version: the server's, such as `180004`; 0 where it does not say.
        root: what gives the answer.
        settings: of the planner that are not the server's defaults.
        planning_ms, execution_ms: milliseconds; `None` where they were not taken.
        compiling_ms: milliseconds that JIT took, `None` where it was not used or the query was not run.
    """

    engine: str
    version: int
    root: Node
    settings: Mapping[str, str] = field(default_factory=dict)
    planning_ms: float | None = None
    execution_ms: float | None = None
    compiling_ms: float | None = None

    def nodes(self) -> Iterator[Node]:
        """All nodes, in the order of their numbers."""
        return self.root.walk()

    def parent(self, node: Node) -> Node | None:
        """The node above one; `None` of the root."""
        return next((above for above in self.nodes() if node in above.children), None)

    def share(self, node: Node) -> float:
        """The share of the plan that a node takes itself, from 0 to 1: of its time, or else of its estimated cost."""
        whole = _weight(self.root)
        own = _weight(node) - sum(_weight(child) for child in node.children)
        return min(1.0, max(0.0, own / whole)) if whole else 0.0

    def share_below(self, node: Node) -> float:
        """The same with all that is below it."""
        whole = _weight(self.root)
        return min(1.0, _weight(node) / whole) if whole else 0.0

    @property
    def shape(self) -> str:
        """A hash of how the plan goes about it, 32 hex digits: its steps and what they read, without any estimate."""
        return hashlib.sha256(json.dumps(_shape(self.root)).encode()).hexdigest()[:32]

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {**asdict(self), "shape": self.shape}


def _weight(node: Node) -> float:
    """What a node and all below it take, by one measure for a whole plan."""
    if node.actual is not None and node.actual.ms:
        return node.actual.ms
    return node.cost * (node.actual.loops if node.actual is not None else 1.0)


_CHOICES = ("Join Type", "Strategy", "Partial Mode", "Scan Direction")


def _shape(node: Node) -> list[Any]:
    choices = [node.words.get(name) for name in _CHOICES]
    return [node.kind, node.schema, node.relation, node.index, node.part, choices, [*map(_shape, node.children)]]


def plan_of(value: Mapping[str, Any]) -> Plan:
    """The plan that `as_dict` has written."""
    fields = {name: item for name, item in value.items() if name not in ("shape", "root")}
    return Plan(root=_node_of(value["root"]), **fields)


def _node_of(value: Mapping[str, Any]) -> Node:
    made = dict(value)
    made["actual"] = Actual(**made["actual"]) if made["actual"] else None
    made["keys"] = {name: tuple(keys) for name, keys in made["keys"].items()}
    made["children"] = tuple(map(_node_of, made["children"]))
    return Node(**made)

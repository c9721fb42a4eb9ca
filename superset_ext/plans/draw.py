"""A plan as a tree that a person can read, in a terminal or wherever letters have one width."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.tree import Node, Plan

WIDTH = 118
_SHOWN = ("Index Cond", "Hash Cond", "Merge Cond", "Join Filter", "Recheck Cond", "Filter", "Function Call")
_KEYS = ("Sort Key", "Group Key")
_COUNTED = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Heap Fetches", "Lossy Heap Blocks")
_PER_LOOP = ("Rows Removed by Filter", "Rows Removed by Join Filter")


def drawing(plan: Plan) -> str:
    """The plan, a line a node and its conditions below it. Each node has the number that findings name it by."""
    lines = list(_lines(plan, plan.root, "", ""))
    return "\n".join([*lines, *times(plan)])


def times(plan: Plan) -> Iterator[str]:
    """How long it took, as far as that was measured, and the settings of its planner."""
    taken = (("planning", plan.planning_ms), ("execution", plan.execution_ms), ("JIT", plan.compiling_ms))
    if any(ms is not None for _, ms in taken):
        yield ", ".join(f"{name} {ms:,.1f} ms" for name, ms in taken if ms is not None)
    if plan.settings:
        yield "settings: " + ", ".join(f"{name} = {value}" for name, value in sorted(plan.settings.items()))


def _lines(plan: Plan, node: Node, first: str, rest: str) -> Iterator[str]:
    yield _cut(f"{first}{node.number}. {title(node)}  {estimate(node)}{measured(node)}  {plan.share(node):.0%}")
    below = rest + ("│  " if node.children else "   ")
    for line in details(node):
        yield _cut(below + line)
    for child in node.children:
        is_last = child is node.children[-1]
        yield from _lines(plan, child, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))


def title(node: Node) -> str:
    """What a node does, and on what."""
    words = [node.kind, *(f"({word})" for word in (node.part, node.words.get("Join Type")) if word and word != "Inner")]
    if node.index:
        words.append(f"using {node.index}")
    if node.relation:
        words.append(f"on {node.relation}")
    name = node.words.get("CTE Name")
    if name:
        words.append(f"on {name}")
    return " ".join([*words, *([node.alias] if node.alias and node.alias not in (node.relation, name) else [])])


def estimate(node: Node) -> str:
    """What the planner expects of a step."""
    return f"cost {node.cost:,.0f}, {node.rows:,.0f} rows"


def measured(node: Node) -> str:
    """What running it has shown; empty where it was not run."""
    if node.actual is None:
        return ""
    if not node.actual.loops:
        return " (never run)"
    loops = f" × {node.actual.loops:,.0f}" if node.actual.loops > 1 else ""
    ms = f", {node.actual.ms:,.1f} ms" if node.actual.ms else ""
    return f" → {node.actual.rows:,.0f}{loops}{ms}"


def details(node: Node) -> Iterator[str]:
    """Its conditions, keys and counts, a line each."""
    for name in _SHOWN:
        if name in node.conditions:
            yield f"{name}: {node.conditions[name]}"
    for name in _KEYS:
        if name in node.keys:
            yield f"{name}: {', '.join(node.keys[name])}"
    counted = [f"{name}: {_in_all(node, name):,.0f}" for name in _COUNTED if node.number_of(name)]
    method = node.words.get("Sort Method")
    if method:
        counted.append(f"{method}, {node.number_of('Sort Space Used'):,.0f} kB")
    if node.number_of("Hash Batches") > 1 or node.number_of("HashAgg Batches") > 1:
        counted.append(f"batches: {node.number_of('Hash Batches') or node.number_of('HashAgg Batches'):,.0f}")
    if counted:
        yield ", ".join(counted)


def _in_all(node: Node, name: str) -> float:
    loops = node.actual.loops if node.actual is not None and name in _PER_LOOP else 1.0
    return node.number_of(name) * loops


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"

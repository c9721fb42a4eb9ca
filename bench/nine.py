"""The grouped statements of the nine example dashboards, each from an aggregate of its own; and why others not.

Run with `python -m bench nine`. A browser opens the dashboards on an embedded stack (TEST_STACK names one that runs
already), and what Superset says that it has sent for their charts is read. Each statement has the aggregate that our
proposer would consider for it alone, as a temporary table of the examples' PostgreSQL. It is matched exactly, and then
with as few allowances as it takes. Both texts are run there in turn: types and rows must be the same, and so must the
order be, as far as ORDER BY says it. Where `ties` is allowed, what LIMIT chooses from is compared instead.

Then each request of the dashboards is answered by a Superset without aggregates and with them, and the answers are
compared as JSON, order included (`testing/routed_boards.py`); the run ends with an error if any differs.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import psycopg2

from bench.faults import stack
from superset_ext.aggregates.match import Match, Refusal, match
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.propose.asks import Ask, Asked, candidates, read
from superset_ext.aggregates.shape import Shape
from superset_ext.aggregates.ties import is_total
from superset_ext.aggregates.view import View
from superset_ext.plans.rewrite.facts import Facts
from superset_ext.plans.rewrite.rewriting import parsed
from testing.aggregates import Engine, built, differs, postgresql
from testing.browser import Answer, Visit, browser
from testing.routed_boards import compared, is_grouped, requests_of
from testing.routed_boards import summed as requests_summed
from testing.same_json import DIFFERENT
from testing.stack import RunningStack

ROUNDS = 3
TABLE = "pg_temp.agg"
_NAMES = ("floats", "loose", "ties")
WAYS = tuple(names for number in range(len(_NAMES) + 1) for names in combinations(_NAMES, number))
EXACTLY = "exactly"


@dataclass(frozen=True)
class Sent:
    """A statement that Superset has sent for a chart."""

    dashboard: str
    sql: str


@dataclass(frozen=True)
class Outcome:
    """What comes of a statement.

    Attributes:
        served: `exactly`, or the allowances that it takes; empty where it is refused.
        refused: why not exactly; where it is served, what the allowances are for.
        different: how the answers differ; empty where they do not.
        cut: where a LIMIT chooses among rows that may tie, what is so in these data.
        stock_ms, ours_ms: medians of both texts.
    """

    dashboard: str
    served: str = ""
    refused: str = ""
    different: str = ""
    cut: str = ""
    stock_ms: float = 0.0
    ours_ms: float = 0.0


def captured(running: RunningStack) -> list[tuple[str, Answer]]:
    """What the nine dashboards ask, and are answered, each with its dashboard's title."""
    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1000}), running.url)
        visit.login(running.user, running.password)
        return [
            (board["dashboard_title"], answer) for board in visit.dashboards() for answer in visit.open(board["id"])
        ]


def sent(answers: Sequence[tuple[str, Answer]]) -> list[Sent]:
    """What they ask of the source, each text once a dashboard."""
    texts = [
        Sent(title, sql.strip().rstrip(";"))
        for title, answer in answers
        for result in answer.ran_sql
        for sql in result["query"].split(";\n\n")
        if sql.strip()
    ]
    return list(dict.fromkeys(texts))


def asked(engine: Engine, facts: Facts, one: Sent, zone: str) -> Outcome:
    """What comes of one statement."""
    asks, refused = read([Asked("", one.sql, None, 1.0, 1.0)], lambda _: facts, zone)
    if not asks:
        return Outcome(one.dashboard, refused=refused[0].reason)
    view = built(engine, candidates(asks)[0].view(TABLE))
    return _answered(engine, one, asks[0], view, zone)


def _answered(engine: Engine, one: Sent, ask: Ask, view: View, zone: str) -> Outcome:
    answers = [(names, match(ask.shape, view, _allowed(names, zone))) for names in WAYS]
    first = answers[0][1]
    reason = first.reason if isinstance(first, Refusal) else ""
    last = answers[-1][1]
    cut = "" if _without(answers, "ties") or isinstance(last, Refusal) else _at_cut(engine, one.sql, ask.shape)
    for names, answer in answers:
        if isinstance(answer, Match) and _ties(engine, answer):
            reason = reason or "rows tie where its LIMIT cuts"
        elif isinstance(answer, Match):
            texts = one.sql, answer.sql
            different = difference(engine, texts, ask.shape, _allowed(names, zone))
            return Outcome(
                one.dashboard, " and ".join(names) or EXACTLY, reason, different, cut, *_timed(engine, texts)
            )
    return Outcome(one.dashboard, refused=last.reason if isinstance(last, Refusal) else reason)


def _ties(engine: Engine, answer: Match) -> bool:
    """Whether a text says that rows tie in these data where a LIMIT cuts."""
    try:
        number = len(engine.run(answer.sql)[1])
        return answer.below is not None and number >= answer.below
    except psycopg2.errors.DivisionByZero:
        return True


def _allowed(names: Sequence[str], zone: str) -> Allowed:
    return Allowed(**dict.fromkeys(names, True), zone=zone)


def _without(answers: Sequence[tuple[Sequence[str], Match | Refusal]], name: str) -> bool:
    """Whether it is answered without an allowance."""
    return any(isinstance(answer, Match) for names, answer in answers if name not in names)


def difference(engine: Engine, texts: tuple[str, str], shape: Shape, allowed: Allowed) -> str:
    """How the answers of two texts differ in types, rows or order; empty: not."""
    (types, stock), (our_types, ours) = map(engine.run, texts)
    if types != our_types:
        return "other types"
    if len(stock) != len(ours) or _ordered(stock, shape, allowed) != _ordered(ours, shape, allowed):
        return "another order"
    if allowed.ties:
        (_, stock), (_, ours) = (engine.run(_uncut(text)) for text in texts)
    return differs(stock, ours, allowed)


def _ordered(rows: Sequence[Sequence[Any]], shape: Shape, allowed: Allowed) -> list[list[Any]]:
    """What the rows are ordered by, row by row; all of them, where none can tie."""
    outputs = [output.value for output in shape.outputs]
    places = [outputs.index(term) for term in shape.meant if term in outputs]
    whole = bool(shape.order) and is_total(shape)
    plain = [[row[place] for place in (range(len(row)) if whole else places)] for row in rows]
    return [[_near(value) for value in row] for row in plain] if allowed.floats or allowed.loose else plain


def _near(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _uncut(sql: str) -> str:
    tree = parsed(sql, "postgres")
    assert not isinstance(tree, str), tree
    for part in ("limit", "offset", "order"):
        tree.set(part, None)
    return tree.sql(dialect="postgres")


def _at_cut(engine: Engine, sql: str, shape: Shape) -> str:
    """Whether rows that tie are cut apart in these data: the last one that LIMIT lets through, and the next."""
    if shape.limit is None:
        return "a series limit"
    tree = parsed(sql, "postgres")
    assert not isinstance(tree, str), tree
    rows = engine.run(tree.limit(shape.limit + 1).sql(dialect="postgres"))[1]
    if len(rows) <= shape.limit:
        return "there are no more groups than LIMIT lets through"
    last, following = _ordered(rows[-2:], shape, Allowed())
    return "the cut goes through rows that tie" if last == following else "the cut goes between rows that do not tie"


def _timed(engine: Engine, texts: Sequence[str]) -> list[float]:
    """Medians of the milliseconds of some texts, run in turn."""
    took: dict[str, list[float]] = {text: [] for text in texts}
    for _ in range(ROUNDS):
        for text, times in took.items():
            start = time.perf_counter()
            engine.run(text)
            times.append((time.perf_counter() - start) * 1000)
    return [round(statistics.median(took[text]), 2) for text in texts]


def outcomes(url: str, texts: Sequence[Sent]) -> Iterator[Outcome]:
    """What comes of each statement on a PostgreSQL source."""
    with postgresql(url) as engine:
        facts, ((zone,),) = engine.facts(), engine.run("SHOW timezone")[1]
        for one in texts:
            yield asked(engine, facts, one, zone)


def summed(some: Sequence[Outcome]) -> dict[str, Any]:
    """Counts of statements."""
    served = [one for one in some if one.served]
    return {
        "grouped": len(some), "served": len(served), "ways": dict(Counter(one.served for one in served)),
        "refused": dict(Counter(one.refused for one in some if not one.served)),
        "different": sum(bool(one.different) for one in some),
        "stock_ms": round(sum(one.stock_ms for one in served)), "ours_ms": round(sum(one.ours_ms for one in served)),
    }  # fmt: skip


def run() -> dict[str, Any]:
    """All figures."""
    with stack() as running:
        answers = captured(running)
        texts = sent(answers)
        grouped = [one for one in texts if is_grouped(one.sql)]
        results = list(outcomes(running.examples_url, grouped))
        titles = {answer.dashboard_id: title for title, answer in answers}
        requests = compared(running, requests_of([answer for _, answer in answers], titles))
    if different := [one for one in requests if one.same == DIFFERENT]:
        raise AssertionError(f"another answer: {different[0]}")
    boards = dict.fromkeys(one.dashboard for one in texts)
    return {
        "statements": len(texts), "whole": summed(results),
        "why_not_exactly": dict(Counter(one.refused for one in results if one.refused)),
        "cut": dict(Counter(one.cut for one in results if one.cut)),
        "dashboards": {board: summed([one for one in results if one.dashboard == board]) for board in boards},
        "requests": requests_summed(requests), "outcomes": [asdict(one) for one in results],
    }  # fmt: skip


def main() -> None:
    """Print the figures as a table, and as JSON."""
    figures = run()
    print(f"{figures['statements']} statements")
    for name, row in [*figures["dashboards"].items(), ("all", figures["whole"])]:
        ways = ", ".join(f"{way} {number}" for way, number in row["ways"].items())
        print(f"{name[:30]:<31}{row['served']:>3} of {row['grouped']:>3}  {row['different']} different  {ways}")
        for reason, number in row["refused"].items():
            print(f"{'':<31}{number:>3} refused: {reason}")
    for name in ("why_not_exactly", "cut"):
        for reason, number in figures[name].items():
            print(f"{name.replace('_', ' ')}: {number:>3} {reason}")
    print(f"served ones: {figures['whole']['stock_ms']} ms from tables, {figures['whole']['ours_ms']} from aggregates")
    requests = figures["requests"]
    print(f"{requests['requests']} requests as JSON, {requests['requests_routed']} of them from aggregates:")
    for rule, number in requests["same_routed"].items():
        print(f"{number:>5} the same: {rule}")
    print(f"{requests['routed']} grouped statements from aggregates; others by Superset's own:")
    for reason, number in requests["refused"].items():
        print(f"{number:>5} {reason}")
    print(json.dumps({"nine": figures}))


if __name__ == "__main__":
    main()

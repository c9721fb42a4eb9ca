"""Dashboards opened in a browser beside stock's: until the last answer, until the last chart is drawn, and statements.

Run with `python -m bench opening`; it starts a stack with the examples of its own, or takes the one that TEST_STACK
names. Web servers over the stack's databases answer a headless Chromium in turn, one for stock with Flask-Caching's
RedisCache and one for each step of the package, each of which is a setting. Every dashboard is opened once to warm the
browser's and the servers' caches, and then OPENING_ROUNDS times by each server, which take turns. The browser draws as
long for each of them; the time until the last answer is what a server has a part in. Other servers, whose way to the
metadata database is watched, then open each dashboard for the statements that it sends.

    OPENING_BOARDS      dashboards by their numbers, with commas between
    OPENING_STEPS       steps, with commas between
    OPENING_ROUNDS      openings of each; with 0 statements alone are counted, and no map is drawn
    OPENING_STATEMENTS  0 leaves the statements out
    OPENING_FLOOR       1 adds `floor`: the last step's answers, recorded and given again from memory by a server that
                        does nothing else (`testing.recorded`); no server can be quicker than that
    OPENING_AS          `person`, or `report`: the browser that makes Superset's reports says that a program drives it,
                        and draws all charts at once; a person's draws those that are at most a screen away
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine.url import make_url

from testing.browser import Visit, browser
from testing.passage import Passage
from testing.recorded import passed_on, recorded
from testing.serving import web

ROUNDS = int(os.environ.get("OPENING_ROUNDS", "10"))
STATEMENTS = os.environ.get("OPENING_STATEMENTS", "1") != "0"
FLOOR = ROUNDS > 0 and os.environ.get("OPENING_FLOOR", "0") == "1"
AS = os.environ.get("OPENING_AS", "person")
# Each step has what the one before it has, and its own settings.
STEPS: Mapping[str, Mapping[str, str]] = {
    "stock": {},
    "package": {"GRANTS": "off", "GRANTS_DOCUMENTS": "false", "EVENT_LOG_SECONDS": "0"},
    "charts": {"GRANTS": "triggers", "GRANTS_DOCUMENTS": "false", "EVENT_LOG_SECONDS": "0"},
    "documents": {"GRANTS": "triggers", "GRANTS_DOCUMENTS": "true", "EVENT_LOG_SECONDS": "0"},
    "log": {"GRANTS": "triggers", "GRANTS_DOCUMENTS": "true", "EVENT_LOG_SECONDS": "0.5"},
}
_METADATA = "SUPERSET_EXT_DATABASE_URL"
_CONFIG = """
import os
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
_URI = os.environ["SUPERSET_EXT_DATABASE_URL"]
SQLALCHEMY_DATABASE_URI = f"{{_URI}}{{'&' if '?' in _URI else '?'}}application_name=opening_{step}"
SQLALCHEMY_EXAMPLES_URI = os.environ["SUPERSET__SQLALCHEMY_EXAMPLES_URI"]
CELERY_CONFIG = None
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
FEATURE_FLAGS = {{"ENABLE_TEMPLATE_PROCESSING": True, "DASHBOARD_RBAC": True, "CACHE_IMPERSONATION": True}}
"""
_STOCK = """
_REDIS = os.environ["SUPERSET_EXT_REDIS_URL"] + "/11"
DATA_CACHE_CONFIG = {
    "CACHE_TYPE": "RedisCache", "CACHE_DEFAULT_TIMEOUT": 900, "CACHE_KEY_PREFIX": "s_", "CACHE_REDIS_URL": _REDIS
}
"""
_OURS = "from superset_ext.config import *\n"
# When something was last put into a chart or taken out of one, and how many charts there are, and are drawn.
_WATCH = """
window.__drawn = 0;
const inChart = node => (node.nodeType === 1 ? node : node.parentElement)?.closest?.(
    '.chart-container, .slice_container, .dashboard-chart');
new MutationObserver(changes => {
    if (changes.some(change => inChart(change.target))) window.__drawn = performance.now();
}).observe(document, {childList: true, subtree: true});
"""
_DRAWN = r"""() => [
    window.__drawn,
    Math.max(0, ...performance.getEntriesByType('resource')
        .filter(entry => /\/chart\/data|explore_json/.test(entry.name)).map(entry => entry.responseEnd)),
    document.querySelectorAll('.dashboard-chart').length,
    [...document.querySelectorAll('.dashboard-chart .slice_container')].filter(
        chart => chart.firstElementChild && !chart.querySelector("[data-test='loading-indicator'], .loading")).length,
]"""
_COLUMNS = {"answered_ms": "answered, ms", "ms": "drawn, ms", "statements": "statements"}
WARM = 3  # openings until all that is granted is granted: the first one fills the caches


@contextmanager
def servers(env: Mapping[str, str], steps: Sequence[str]) -> Iterator[dict[str, str]]:
    """The URL of a web server for each step."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        urls = {}
        for step in steps:
            config = Path(name) / f"{step}_config.py"
            config.write_text(_CONFIG.format(step=step) + (_STOCK if step == "stock" else _OURS))
            own = {key: value for key, value in env.items() if key not in ("SUPERSET_PORT", "SUPERSET_BIND")}
            own |= {f"SUPERSET_EXT_{key}": value for key, value in STEPS[step].items()}
            own["GUNICORN_CMD_ARGS"] = "--no-control-socket"
            urls[step] = running.enter_context(web(config, own))
        yield urls


@dataclass(frozen=True)
class Opening:
    """What one opening of a dashboard came to.

    Attributes:
        drawn: milliseconds until the last chart was drawn.
        answered: milliseconds until the last answer to a chart.
        charts: how many the dashboard has.
        shown: how many of them are drawn.
    """

    drawn: float
    answered: float
    charts: int
    shown: int


class Openings:
    """Openings of dashboards by one server, in a page of its own.

    Args:
        page: a new page of the browser.
        url: the server's.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.visit = Visit(page, url)
        page.add_init_script(_WATCH)

    def open(self, dashboard_id: int) -> Opening:
        """Open a dashboard, until all is there that the browser draws of itself, and leave it.

        One that stays open goes on with its animations and maps, at the cost of the next server's.
        """
        page = self.visit.page
        page.bring_to_front()  # the browser draws less often what is behind another page
        self.visit.pending.clear()
        page.goto(f"{self.visit.base}/superset/dashboard/{dashboard_id}/")
        page.wait_for_selector(".grid-container")
        self.visit.settle()
        opening = Opening(*page.evaluate(_DRAWN))
        page.goto("about:blank")
        return opening


def run(stack: Any) -> dict[str, Any]:
    """The figures of each dashboard: milliseconds and statements by step."""
    names = os.environ.get("OPENING_STEPS")
    steps = names.split(",") if names else list(STEPS)
    load = round(os.getloadavg()[0], 1)
    with _openings(stack, stack.env, steps, floor=FLOOR) as (openings, boards):
        figures = {board["id"]: _timed(openings, board) if ROUNDS else _named(board) for board in boards}
    if STATEMENTS:
        _add_statements(stack, steps, figures)
    return {"cores": os.cpu_count(), "load": load, "as": AS, "boards": list(figures.values())}


def _add_statements(stack: Any, steps: Sequence[str], figures: Mapping[int, dict[str, Any]]) -> None:
    url = make_url(stack.env[_METADATA])
    passage = Passage(url.host or "127.0.0.1", url.port or 5432)
    watched = url.set(host="127.0.0.1", port=passage.port).render_as_string(hide_password=False)
    with _openings(stack, {**stack.env, _METADATA: watched}, steps) as (openings, boards):
        for board in boards:
            figures[board["id"]]["statements"] = _counted(openings, passage, board["id"])


@contextmanager
def _openings(
    stack: Any, env: Mapping[str, str], steps: Sequence[str], floor: bool = False
) -> Iterator[tuple[Mapping[str, Openings], list[dict[str, Any]]]]:
    """Openings by a server for each step and, if wanted, by one that answers from memory; and the dashboards."""
    drives = browser(draws_maps=ROUNDS > 0, person=AS == "person")
    with servers(env, steps) as urls, drives as chromium, ExitStack() as running:
        context = chromium.new_context(viewport={"width": 1400, "height": 1000})
        first = Visit(context.new_page(), urls[steps[0]])
        first.login(stack.user, stack.password)  # the cookie is one for all ports of the machine
        if floor:
            urls["floor"] = running.enter_context(recorded(urls[steps[-1]]))
        yield {step: Openings(context.new_page(), url) for step, url in urls.items()}, _boards(first)


def _boards(visit: Visit) -> list[dict[str, Any]]:
    wanted = {int(number) for number in os.environ.get("OPENING_BOARDS", "").split(",") if number}
    return [board for board in visit.dashboards() if not wanted or board["id"] in wanted]


def _timed(openings: Mapping[str, Openings], board: Mapping[str, Any]) -> dict[str, Any]:
    """Milliseconds of a dashboard's openings, by the servers in turn."""
    times: dict[str, list[Opening]] = {step: [] for step in openings}
    steps, since = list(openings), 0
    for number in range(-WARM, ROUNDS):
        since = _asked_of_floor(openings) if number == 0 else since
        for step in _turns(steps, number):
            opening = openings[step].open(board["id"])
            if number >= 0:
                times[step].append(opening)
    shown = {step: sorted({opening.shown for opening in of_step}) for step, of_step in times.items()}
    assert len({tuple(numbers) for numbers in shown.values()}) == 1, f"not the same charts are drawn: {shown}"
    drawn = {step: [opening.drawn for opening in of_step] for step, of_step in times.items()}
    return {
        **_named(board),
        "charts": times[steps[0]][0].charts,
        "shown": shown[steps[0]],
        "ms": _middle(drawn),
        "ranges": {step: [round(min(values)), round(max(values))] for step, values in drawn.items()},
        "answered_ms": _middle({step: [opening.answered for opening in of_step] for step, of_step in times.items()}),
        "passed_on_by_floor": _asked_of_floor(openings) - since,
    }


def _turns(steps: Sequence[str], number: int) -> Sequence[str]:
    """The order of a round: each begins with another server, and every second one goes the other way.

    What one opening leaves to be done falls on the next one, which must not be the same server's each time.
    """
    turn = number // 2 % len(steps)
    order = [*steps[turn:], *steps[:turn]]
    return order[::-1] if number % 2 else order


def _asked_of_floor(openings: Mapping[str, Openings]) -> int:
    return passed_on(openings["floor"].visit.base) if "floor" in openings else 0


def _named(board: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": board["id"], "title": board["dashboard_title"]}


def _middle(times: Mapping[str, Sequence[float]]) -> dict[str, int]:
    return {step: round(statistics.median(values)) for step, values in times.items()}


def _counted(openings: Mapping[str, Openings], passage: Passage, board: int) -> dict[str, int]:
    """The statements of one opening, but for the beginnings and ends of transactions.

    The lesser of two: what was given again for as long as it may be ends at one moment for all of a dashboard.
    """
    counts = {}
    for step, opening in openings.items():
        for _ in range(WARM):
            opening.open(board)
        counts[step] = min(_sent(opening, passage, board, step) for _ in range(2))
    return counts


def _sent(opening: Openings, passage: Passage, board: int, step: str) -> int:
    since = time.perf_counter()
    opening.open(board)
    sent = passage.statements(since, f"opening_{step}")
    return sum(not line.startswith(("BEGIN", "COMMIT", "ROLLBACK")) for line in sent)


def show(results: Mapping[str, Any]) -> None:
    """Print a table and the JSON."""
    of = f"medians of {ROUNDS} openings as a {results['as']}"
    print(f"of {results['cores']} cores, load {results['load']} before; {of}")
    for board in results["boards"]:
        shown = "-".join(map(str, board.get("shown", ())))
        print(f"\n{board['title']}" + (f": {shown} of {board['charts']} charts drawn" if ROUNDS else ""))
        columns = {title: board[key] for key, title in _COLUMNS.items() if key in board}
        print(" " * 12 + "".join(f"{title:>14}{'of stock':>10}" for title in columns))
        for step in next(iter(columns.values()), ()):
            print(f"{step:<12}" + "".join(_beside_stock(values, step) for values in columns.values()))
    print(json.dumps({"opening": results}))


def _beside_stock(values: Mapping[str, int], step: str) -> str:
    if step not in values:  # the floor sends no statements
        return ""
    share = f"{values[step] / values['stock']:.2f}" if values.get("stock") else ""
    return f"{values[step]:>14}{share:>10}"


def main() -> None:
    """Measure, and print a table and the JSON."""
    from bench.faults import stack

    with stack() as running:
        show(run(running))


if __name__ == "__main__":
    main()

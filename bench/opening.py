"""Dashboards opened in a browser beside stock's: until the last chart is drawn, and statements sent for one opening.

Run with `python -m bench opening`; it starts a stack with the examples of its own, or takes the one that TEST_STACK
names. Web servers over the stack's databases answer a headless Chromium in turn, one for stock with Flask-Caching's
RedisCache and one for each step of the package, each of which is a setting. Every dashboard is opened once to warm the
browser's and the servers' caches, and then OPENING_ROUNDS times by each server, which take turns. OPENING_BOARDS names
dashboards by their numbers, and OPENING_STEPS steps.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from testing.browser import Visit, browser
from testing.serving import web

ROUNDS = int(os.environ.get("OPENING_ROUNDS", "10"))
# Each step has what the one before it has, and its own settings.
STEPS: Mapping[str, Mapping[str, str]] = {
    "stock": {},
    "package": {"GRANTS": "off", "GRANTS_DOCUMENTS": "false", "EVENT_LOG_SECONDS": "0"},
    "charts": {"GRANTS": "triggers", "GRANTS_DOCUMENTS": "false", "EVENT_LOG_SECONDS": "0"},
    "documents": {"GRANTS": "triggers", "GRANTS_DOCUMENTS": "true", "EVENT_LOG_SECONDS": "0"},
    "log": {"GRANTS": "triggers", "GRANTS_DOCUMENTS": "true", "EVENT_LOG_SECONDS": "0.5"},
}
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
# When something was last put into a chart or taken out of one, and how many charts there are.
_WATCH = """
window.__drawn = 0;
const inChart = node => (node.nodeType === 1 ? node : node.parentElement)?.closest?.(
    '.chart-container, .slice_container, .dashboard-chart');
new MutationObserver(changes => {
    if (changes.some(change => inChart(change.target))) window.__drawn = performance.now();
}).observe(document, {childList: true, subtree: true});
"""
_DRAWN = "() => [window.__drawn, document.querySelectorAll('.dashboard-chart').length]"


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


class Openings:
    """Openings of dashboards by one server, in a page of its own.

    Args:
        page: a new page of the browser.
        url: the server's.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.visit = Visit(page, url)
        page.add_init_script(_WATCH)

    def open(self, dashboard_id: int) -> tuple[float, int]:
        """Open a dashboard; milliseconds until the last chart was drawn, and how many charts there were."""
        page = self.visit.page
        page.goto("about:blank")
        self.visit.pending.clear()
        page.goto(f"{self.visit.base}/superset/dashboard/{dashboard_id}/")
        page.wait_for_selector(".grid-container")
        self.visit.settle()
        drawn, charts = page.evaluate(_DRAWN)
        return float(drawn), int(charts)


class Statements:
    """Counts what a server sends to PostgreSQL, by the server's own log.

    Args:
        url: of a database whose user may have everything logged.
        log: PostgreSQL's log file.
    """

    def __init__(self, url: str, log: Path) -> None:
        self._url, self._log = url, log

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Within this each statement is logged."""
        self._set("ALTER SYSTEM SET log_line_prefix = '%a|'", "ALTER SYSTEM SET log_statement = 'all'")
        try:
            yield
        finally:
            self._set("ALTER SYSTEM RESET log_line_prefix", "ALTER SYSTEM RESET log_statement")

    def _set(self, *statements: str) -> None:
        connection = psycopg2.connect(self._url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in (*statements, "SELECT pg_reload_conf()"):
                cursor.execute(statement)
        connection.close()

    def here(self) -> int:
        """Where the log ends now."""
        return self._log.stat().st_size

    def since(self, here: int, step: str) -> list[str]:
        """What the server of a step has sent since then, but for the beginnings and ends of transactions."""
        with self._log.open("rb") as log:
            log.seek(here)
            text = log.read().decode(errors="replace")
        sent = re.findall(rf"^opening_{step}\|LOG:  (?:statement|execute [^:]*): (.*)$", text, re.MULTILINE)
        return [line for line in sent if not line.startswith(("BEGIN", "COMMIT", "ROLLBACK"))]


def run(stack: Any) -> dict[str, Any]:
    """The figures of each dashboard: milliseconds and statements by step."""
    names = os.environ.get("OPENING_STEPS")
    steps = names.split(",") if names else list(STEPS)
    with servers(stack.env, steps) as urls, browser() as chromium:
        context = chromium.new_context(viewport={"width": 1400, "height": 1000})
        first = Visit(context.new_page(), urls[steps[0]])
        first.login(stack.user, stack.password)  # the cookie is one for all ports of the machine
        boards = _boards(first)
        openings = {step: Openings(context.new_page(), url) for step, url in urls.items()}
        for board in boards:  # the first opening fills the caches, from the second one on answers are granted
            for _ in range(3):
                for step in steps:
                    openings[step].open(board["id"])
        figures = {board["id"]: _timed(openings, board) for board in boards}
        statements = Statements(stack.database_url, stack.state_dir / "postgres.log")
        with statements.logged():
            for board in boards:
                figures[board["id"]]["statements"] = _counted(openings, statements, board["id"])
    return {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "boards": list(figures.values())}


def _boards(visit: Visit) -> list[dict[str, Any]]:
    wanted = {int(number) for number in os.environ.get("OPENING_BOARDS", "").split(",") if number}
    return [board for board in visit.dashboards() if not wanted or board["id"] in wanted]


def _timed(openings: Mapping[str, Openings], board: Mapping[str, Any]) -> dict[str, Any]:
    """Milliseconds of a dashboard's openings; each round begins with another server."""
    times: dict[str, list[float]] = {step: [] for step in openings}
    charts, steps = 0, list(openings)
    for number in range(ROUNDS):
        turn = number % len(steps)
        for step in (*steps[turn:], *steps[:turn]):
            ms, charts = openings[step].open(board["id"])
            times[step].append(ms)
    middle = {step: round(statistics.median(values)) for step, values in times.items()}
    return {"id": board["id"], "title": board["dashboard_title"], "charts": charts, "ms": middle,
            "ranges": {step: [round(min(values)), round(max(values))] for step, values in times.items()}}  # fmt: skip


def _counted(openings: Mapping[str, Openings], statements: Statements, board: int) -> dict[str, int]:
    counts = {}
    for step, opening in openings.items():
        here = statements.here()
        opening.open(board)
        counts[step] = len(statements.since(here, step))
    return counts


def show(results: Mapping[str, Any]) -> None:
    """Print a table and the JSON."""
    print(f"of {results['cores']} cores, load {results['load']}; until the last chart is drawn, medians of {ROUNDS}")
    for board in results["boards"]:
        stock, counted = board["ms"].get("stock"), board["statements"].get("stock")
        print(f"\n{board['title']}: {board['charts']} charts")
        print(f"{'':<12}{'ms':>8}{'of stock':>10}{'statements':>12}{'of stock':>10}")
        for step, ms in board["ms"].items():
            sent = board["statements"][step]
            shares = [f"{part / whole:.2f}" if whole else "" for part, whole in ((ms, stock), (sent, counted))]
            print(f"{step:<12}{ms:>8}{shares[0]:>10}{sent:>12}{shares[1]:>10}")
    print(json.dumps({"opening": results}))


def main() -> None:
    """Measure, and print a table and the JSON."""
    from bench.faults import stack

    with stack() as running:
        show(run(running))


if __name__ == "__main__":
    main()

"""The pages and the code agree: links, settings, routes, commands, tables, metrics and the ACL of Redis."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml

from superset_ext.cli.perf import perf
from superset_ext.monitor.prometheus import LogCollector
from superset_ext.settings import variables

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "docker/README.md"]
RULES = ROOT / "docker/prometheus/rules.yml"
GRAFANA = ROOT / "docker/grafana/superset-performance.json"
README_LINES = 200
METRIC = re.compile(r"superset_ext_\w+")
SELECTOR = re.compile(r"(superset_ext_\w+)\{([^}]*)\}")


@cache
def text_of(page: Path) -> str:
    return page.read_text()


def prose_of(page: Path) -> str:
    """The page without its blocks and spans of code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.M | re.S))


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    anchors = set()
    for title in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S), re.M):
        slug = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Intent: every relative link names a file that exists, and every anchor a heading of it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors_of(target), f"{link}: no such heading; {sorted(anchors_of(target))}"


def test_the_readme_is_short() -> None:
    """Intent: what a person needs first fits into what they read."""
    assert len(text_of(ROOT / "README.md").splitlines()) <= README_LINES


@pytest.mark.parametrize("index", [ROOT / "README.md", DOCS / "README.md"], ids=["README", "docs"])
def test_every_page_is_in_the_index(index: Path) -> None:
    """Intent: no page that nobody can find."""
    links = {(index.parent / link.partition("#")[0]).resolve() for link in re.findall(r"\]\(([^)]+)\)", text_of(index))}
    assert {page for page in DOCS.glob("*.md") if page.name != "README.md"} <= links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_a_page_names_exist(page: Path) -> None:
    """Intent: nobody copies the name of a setting that is none; `SUPERSET_EXT_TUNE_…` stands for some."""
    named = set(re.findall(r"SUPERSET_EXT_[A-Z_]+(?![A-Z_*<…])", text_of(page)))
    assert named <= {*variables()}, named - {*variables()}


def routes() -> Iterator[tuple[str, str]]:
    """Verb and path of every route, from the decorators of the API."""
    for file in (ROOT / "superset_ext/web").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "route":
                words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                yield str(words[1]), re.sub(r"<\w+:(\w+)>", r"<\1>", str(words[0]))


def test_every_route_is_documented() -> None:
    """Intent: the page of the API has each route with its verb, and none that is gone."""
    documented = set(re.findall(r"^\| `([A-Z]+) (/[^`?]*)[^`]*` \|", text_of(DOCS / "api.md"), re.M))
    assert set(routes()) == documented


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Each command below one, by all of its words."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            yield from commands(below, f"{name} {word}")
    else:
        yield name, command


@pytest.mark.parametrize(("name", "command"), commands(perf, "superset perf"), ids=lambda value: str(value))
def test_every_command_is_documented(name: str, command: click.Command) -> None:
    """Intent: the page has each command with all of its options, and no option that is gone."""
    rows = re.findall(rf"^\| `({re.escape(name)}(?: [^`]*)?)` \|", text_of(DOCS / "api.md"), re.M)
    assert len(rows) == 1, f"{name} has {len(rows)} rows"
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert set(re.findall(r"--[\w-]+", rows[0])) == options


def test_every_table_is_documented() -> None:
    """Intent: the page of monitoring says what each table and view of the log is."""
    page = text_of(DOCS / "monitoring.md")
    sources = "\n".join(file.read_text() for file in [*ROOT.glob("sql/schema/*.sql"), *ROOT.glob("sql/views/*.sql")])
    kinds = r"CREATE (?:OR REPLACE )?(?:TABLE|VIEW|MATERIALIZED VIEW)(?: IF NOT EXISTS)? superset_ext\.(\w+)"
    names = {name for name in re.findall(kinds, sources) if not re.search(r"_(live|past|recent)$", name)}
    missing = {name for name in names if f"`{name}`" not in page}
    assert len(names) > 30
    assert not missing


def exposed() -> dict[str, set[str]]:
    """Each metric as Prometheus sees it, with its labels: of a log in which nothing is."""
    nothing: Any = SimpleNamespace(rows=lambda _sql: [])
    families = LogCollector(nothing).collect()
    suffix = {"counter": "_total", "gauge": ""}
    return {f"{family.name}{suffix[family.type]}": set(family._labelnames) for family in families}  # type: ignore[attr-defined]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the rules and of the dashboard, with its place."""
    for group in yaml.safe_load(text_of(RULES))["groups"]:
        for rule in group["rules"]:
            yield f"rules.yml: {rule['alert']}", rule["expr"]
    board = json.loads(text_of(GRAFANA))
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"grafana: {panel['title']}", target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"grafana: variable {variable['name']}", variable["query"]["query"]


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_rules_and_dashboard_use_what_is_exposed(place: str, expression: str) -> None:
    """Intent: a misspelt metric or label would be an alert that never fires, or a panel without data."""
    known = exposed()
    metrics = set(METRIC.findall(expression))
    assert metrics
    assert metrics <= known.keys(), place
    for metric, selector in SELECTOR.findall(expression):
        assert set(re.findall(r"(\w+)\s*[=!]~?", selector)) <= known[metric] | {"job", "instance"}, place
    labels = {label for metric in metrics for label in known[metric]}
    for grouping in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(grouping.replace(" ", "").split(",")) <= labels, place


def test_what_is_asked_for_the_first_time_fires_no_rule() -> None:
    """Intent: on a fresh install all requests miss, and all queries run cold; neither is a fault."""
    rules = {place.removeprefix("rules.yml: "): expression for place, expression in expressions()}
    assert 'superset_ext_misses_total{cache="chart_data",reason!="cold"}' in rules["SupersetCacheHitRatioLow"]
    assert "and on (database) sum by (database) (superset_ext_queries_total offset 1d)" in rules["SupersetSlowQueries"]


def test_every_metric_is_documented_and_shown() -> None:
    """Intent: the page names each metric, and no other; the dashboard leaves none out that somebody measures."""
    documented = set(
        METRIC.findall("".join(re.findall(r"^\| `superset_ext_.*$", text_of(DOCS / "monitoring.md"), re.M)))
    )
    assert documented == exposed().keys()
    shown = {metric for _, expression in expressions() for metric in METRIC.findall(expression)}
    assert shown == exposed().keys()


def sent_commands() -> set[str]:
    """What the Redis edge sends, in its own commands and in its scripts; a cluster's and a Sentinel's aside."""
    folder, other = ROOT / "superset_ext/cache", {"cluster.py", "sentinel.py", "codec"}
    code = "\n".join(file.read_text() for file in folder.rglob("*.py") if not other & {*file.parts})
    scripts = "\n".join(file.read_text() for file in folder.rglob("*.lua"))
    sent = set(re.findall(r'\("([A-Z]{3,})"[,)]', code)) | set(re.findall(r"redis\.p?call\('([A-Z]+)'", scripts))
    return {word.lower() for word in sent}


def test_the_acl_of_the_security_page_has_what_is_sent() -> None:
    """Intent: whoever copies the line has a user that works, with no command that nothing sends."""
    (line,) = re.findall(r"^ACL SETUSER .*$", text_of(DOCS / "security.md"), re.M)
    allowed = {word.partition("|")[0] for word in re.findall(r"\+(\S+)", line)}
    of_the_client = {"auth", "hello", "select", "ping"}
    sent = sent_commands()
    assert {"evalsha", "set", "unlink", "publish"} <= sent
    assert sent <= allowed
    assert allowed <= sent | of_the_client

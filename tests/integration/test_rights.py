"""Installing the package changes nobody's rights, and its own dashboards are closed to who may read everything else."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.host.reserved import DATABASE_UUID
from superset_ext.monitor.dashboards.bundle import assets
from testing.superset_app import run

pytestmark = pytest.mark.timeout(1800)
STOCK = """
WTF_CSRF_ENABLED = False
FEATURE_FLAGS = {"ALERT_REPORTS": True}
"""
PACKAGE = STOCK + "from superset_ext.config import *\n"
WITHOUT = """
from testing.rights import People, matrices
say(matrices(People(app, source)))
"""
WITH = """
from testing.rights import PEOPLE, People, closed, matrices, viewers
people = People(app, source)
upgrade = app.test_cli_runner().invoke(args=["perf", "upgrade"])
assert upgrade.exit_code == 0, (upgrade.output, upgrade.exception)
outside, rights = ("alpha_lab", "lab", None), matrices(people)
say([rights, {str(name): closed(people, name) for name in ("admin", *outside, *viewers(people))}])
"""
OUTSIDE = ("alpha_lab", "lab", "None")
INSIDE = ("admin", "viewer", "ops")
REFUSED = {401, 403, 404, 422}


def played(script: str, config: str, postgres: Postgres, folder: Path, **env: str) -> Any:
    metadata, source = (postgres.create_database(f"{name}_{uuid.uuid4().hex[:8]}") for name in ("meta", "source"))
    return run(script, metadata, source, folder, config, **env)


@pytest.fixture(scope="module")
def with_package(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What people may do, and what they see of the performance dashboards."""
    env = {"SUPERSET_EXT_REDIS_URL": shared_valkey.url, "SUPERSET_EXT_RECORDER": "false"}
    return played(WITH, PACKAGE, postgres, tmp_path_factory.mktemp("with"), **env)


@pytest.fixture(scope="module")
def seen(with_package: Any) -> dict[str, dict[str, Any]]:
    """What each person gets to see of the performance database, by the way to it."""
    return dict(with_package[1])


def test_the_closed_database_is_the_one_of_the_bundle() -> None:
    """Intent: what is closed is found by its UUID alone, whatever somebody renames."""
    assert [asset.uuid for asset in assets() if asset.kind == "database"] == [DATABASE_UUID]


@pytest.mark.thorough
def test_installing_changes_nobodys_rights(with_package: Any, postgres: Postgres, tmp_path: Path) -> None:
    """Intent: lists, dashboards for roles and without, data, edits and SQL Lab: as stock, with DASHBOARD_RBAC too."""
    stock = played(WITHOUT, STOCK, postgres, tmp_path)
    rights = with_package[0]
    differences = [
        (flag, name, what, stock[flag][name][what], rights[flag][name].get(what))
        for flag, people in stock.items()
        for name, answers in people.items()
        for what in answers
        if answers[what] != rights[flag][name].get(what)
    ]
    assert differences == []
    assert stock["DASHBOARD_RBAC"] != stock["as installed"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", OUTSIDE)
def test_who_may_read_everything_else_sees_nothing_of_the_log(seen: dict[str, dict[str, Any]], name: str) -> None:
    """Intent: neither in lists nor by id, as rows, values, SQL, cost, exports, alerts or datasets of their own."""
    ways = seen[name]
    lists = {way: count for way, count in ways.items() if way.startswith("list ")}
    assert lists == dict.fromkeys(lists, 0) and len(lists) == 4
    assert {way: answer for way, answer in ways.items() if way not in lists and not _is_refused(way, answer)} == {}
    assert len(ways) > 25


def _is_refused(way: str, answer: Any) -> bool:
    """Whether nothing came; SQL Lab answers 500 where it does not find the database, as stock does."""
    if way == "moved dataset" and len(answer) == 3:
        answer = [answer[0], answer[2][0]]  # their own dataset may be moved there, and shows nothing then
    statuses = [status for status in (answer if isinstance(answer, list) else [answer]) if status is not None]
    return all(status in REFUSED | ({500} if way.startswith("run ") else set()) | _unserved(way) for status in statuses)


def _unserved(way: str) -> set[int]:
    """The streaming export answers 400 for what it does not find."""
    return {400} if way == "query as dataset" else set()


@pytest.mark.thorough
@pytest.mark.parametrize("name", INSIDE)
def test_admins_viewers_and_roles_of_the_rule_see_it(seen: dict[str, dict[str, Any]], name: str) -> None:
    """Intent: the role Performance viewer, and what an administrator adds to the row-level rule, open it."""
    ways = seen[name]
    assert {way: count for way, count in ways.items() if way.startswith("list ")} == {
        f"list {kind}": len({asset.name for asset in assets() if asset.kind == kind})
        for kind in ("dashboard", "chart", "dataset", "database")
    }
    assert (ways["open"], ways["chart"], ways["dataset"], ways["data"][0]) == (200, 200, 200, 200)
    assert ways["data"][1]


@pytest.mark.thorough
def test_sql_lab_is_open_to_whoever_may_see_the_log(seen: dict[str, dict[str, Any]]) -> None:
    """Intent: the check is about the person, and no lock on the database."""
    assert seen["ops"]["run table"][0] == seen["admin"]["run table"][0] == 200

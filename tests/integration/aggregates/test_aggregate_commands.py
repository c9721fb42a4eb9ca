"""`superset perf aggregates` in a real Superset, on a real source, and the task that keeps aggregates up."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from superset_ext.aggregates.service import sources
from superset_ext.aggregates.tasks import aggregates_tick
from superset_ext.core.log_database import LogDatabase
from superset_ext.package import package
from superset_ext.uninstall import _remove_aggregates
from testing.aggregate_tables import BY_SHOP, exact_and_differences, one, run, sales_in
from testing.databases import Databases
from testing.in_process import InProcess
from testing.watches import CATALOG

NAME = f"sales {uuid.uuid4().hex[:8]}"


@pytest.fixture
def source(superset_app: InProcess, databases: Databases) -> Iterator[Any]:
    """A connection to a source that Superset knows by `NAME`."""
    with sales_in(superset_app, databases, NAME) as connection:
        yield connection


def _log() -> LogDatabase:
    return package().log()


def perf(app: InProcess, verb: str, *words: str, status: int = 0) -> Any:
    result = app.perf("aggregates", verb, "--database", NAME, *words)
    assert result.exit_code == status, (result.output, result.exception)
    return json.loads(result.stdout) if "--json" in words else result.output


def test_an_aggregate_from_its_statement_to_its_end(superset_app: InProcess, source: Any) -> None:
    """Intent: what is built is printed first and made after a yes; it is listed, refreshed, checked and dropped, and
    the source is as before."""
    before = run(source, CATALOG)
    result = superset_app.app.test_cli_runner().invoke(
        args=["perf", "aggregates", "build", "--database", NAME, "--sql", BY_SHOP], input="n\n"
    )
    assert (result.exit_code, "CREATE UNIQUE INDEX" in result.output) == (1, True), result.output
    assert run(source, CATALOG) == before
    assert "more lines" in result.output
    assert "LANGUAGE plpgsql" in perf(superset_app, "build", "--sql", BY_SHOP, "--print")
    assert run(source, CATALOG) == before
    built = perf(superset_app, "build", "--sql", BY_SHOP, "--filter", "shop", "--yes", "--json")
    name = built["name"]
    assert (name.startswith("agg_sales_"), built["upkeep"]) == (True, "notes")
    run(source, "DELETE FROM sales WHERE id < 50")
    assert f"{name}: ready" in perf(superset_app, "list")
    assert f"{name}: all of it made anew, 6 rows" in perf(superset_app, "refresh")
    (row,) = perf(superset_app, "list", "--json")
    assert (row["is_exact"], row["state"], row["reason"]) == (True, "ready", "")
    assert perf(superset_app, "check") == f"{name}: equal\n"
    run(source, f"UPDATE {row['table']} SET n = n + 1 WHERE shop IS NULL")
    assert "2 ROWS DIFFER" in perf(superset_app, "check", status=1)
    assert f"{name}: dropped" in perf(superset_app, "drop", name, "--yes")
    assert run(source, CATALOG) == before
    with superset_app.app.app_context():
        assert sources(_log()) == []


def test_what_cannot_be_built_is_one_line(superset_app: InProcess, source: Any) -> None:
    """Intent: a statement that none answers, a name that is none, and a second one of the same rows are refused."""
    for words, reason in (
        (("--sql", "SELECT * FROM sales"), "no aggregate answers"),
        (("--sql", BY_SHOP, "--name", "Not A Name"), "cannot be the name"),
        (("--sql", BY_SHOP, "--filter", "price"), "no key"),
        (("--sql", BY_SHOP, "--schema", "nowhere"), "does not name"),
    ):
        assert reason in perf(superset_app, "build", "--yes", *words, status=1)
    perf(superset_app, "build", "--sql", BY_SHOP, "--yes")
    assert "same rows already" in perf(superset_app, "build", "--sql", BY_SHOP, "--name", "b", "--yes", status=1)
    perf(superset_app, "drop", "--yes")


def test_the_task_refreshes_what_changed_and_uninstall_takes_all_away(
    superset_app: InProcess, source: Any, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    """Intent: without anybody asking, what was noted is made good; what cannot be is said, and holds up nothing."""
    before = run(source, CATALOG)
    view = "SELECT shop, COUNT(*) AS n FROM (SELECT * FROM sales WHERE amount > 3) AS v GROUP BY shop"
    with superset_app.app.app_context():
        perf(superset_app, "build", "--sql", BY_SHOP, "--name", "by_shop", "--yes")
        out = perf(superset_app, "build", "--sql", view, "--name", "a_view", "--every", "1", "--yes")
        assert "made anew every 1 s" in out
        run(source, "TRUNCATE sales; ALTER TABLE sales RENAME amount TO cost; ALTER TABLE sales ADD amount int")
        run(source, "UPDATE superset_ext_aggregates.catalogue SET as_of = as_of - interval '1 minute'")
        aggregates_tick()
        assert exact_and_differences(source, one(source, "by_shop").definition) == (True, 0)
        assert one(source, "a_view").view.rows == 0
        run(source, "ALTER TABLE sales DROP amount")
        run(source, "UPDATE superset_ext_aggregates.catalogue SET as_of = as_of - interval '1 minute'")
        with caplog.at_level(logging.WARNING):
            aggregates_tick()
        assert 'column "amount" does not exist' in caplog.text
        assert {one(source, name).state for name in ("by_shop", "a_view")} == {"off"}
        (step,) = _remove_aggregates(superset_app.app, _log())
    assert step.removed
    assert step.text.startswith(f"aggregates of {NAME} ")
    assert step.text.endswith(": a_view, by_shop")
    assert run(source, CATALOG) == before

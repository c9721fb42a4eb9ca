"""The command `superset perf watch`."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superset_ext.cli.watch import print_watches
from superset_ext.freshness.watch.watched import LISTENER
from testing.charts import Chart, database_id
from testing.programs import program
from testing.serving import Client, process
from testing.stack import RunningStack
from testing.warming import PATIENCE, perf, until
from testing.watches import CATALOG, connected, run, said


class TestCommand:
    """`superset perf watch` and `listen`, as an administrator types them."""

    @pytest.fixture
    def table(self, superset_stack: RunningStack) -> Iterator[str]:
        """A table of the examples' database."""
        name = f"watched_{uuid.uuid4().hex[:8]}"
        with connected(superset_stack.examples_url) as connection:
            run(connection, f"CREATE TABLE {name} (gender text, num int); INSERT INTO {name} VALUES ('girl', 1)")
            yield name
            perf(superset_stack, "watch", "remove", "examples", "--all")
            run(connection, f"DROP TABLE IF EXISTS {name}")

    def test_add_list_and_remove(self, superset_stack: RunningStack, table: str) -> None:
        """Intent: what is added is listed, whole, and after its removal nothing is left on the source."""
        with connected(superset_stack.examples_url) as source:
            before = run(source, CATALOG)
            done = perf(superset_stack, "watch", "add", "examples", table, "--json")
            number = said(done)["database_id"]
            assert said(done) == {"database_id": number, "watched": [f"public.{table}"]}, done.stderr
            (row,) = said(perf(superset_stack, "watch", "list", "--json"))
            columns = (row["database"], row["table"], row["intact"], row["problem"])
            assert columns == ("examples", f"public.{table}", True, None)
            assert row["added_at"] and row["notified_at"] is None
            shown = perf(superset_stack, "watch", "list")
            assert f"public.{table}" in shown.stdout and "complete" in shown.stdout
            done = perf(superset_stack, "watch", "remove", str(number), f"public.{table}")
            assert done.stdout.strip().endswith(f"Not watched any more: public.{table}.")
            assert run(source, CATALOG) == before
        assert "Nothing is watched; begin with: superset perf watch add" in perf(superset_stack, "watch", "list").stdout

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["add", "nowhere", "t"], r"Error: Superset has no database 'nowhere'; it has: .*examples"),
            (["add", "examples", "public.nothing"], r"Error: there is no table public\.nothing; write it as"),
            (["remove", "examples", "public.nothing"], r"Error: public\.nothing is not watched; see: superset perf"),
            (["remove", "examples"], r"Error: name tables, or give --all"),
        ],
    )
    def test_an_error_is_one_line(self, superset_stack: RunningStack, arguments: list[str], line: str) -> None:
        """Intent: a wrong name ends the command with one line, and with what to write instead."""
        done = perf(superset_stack, "watch", *arguments)
        assert done.returncode != 0
        assert re.search(line, done.stderr.strip().splitlines()[-1])

    @pytest.mark.thorough
    def test_other_databases_are_refused(self, superset_stack: RunningStack) -> None:
        """Intent: only PostgreSQL notifies; one that cannot be reached says so, and is listed with its reason."""
        with connected(superset_stack.database_url) as metadata:
            uris = {"a_lake": "trino://u@localhost/x", "away": "postgresql://u:secret@127.0.0.1:1/x"}
            for name, uri in uris.items():
                run(metadata, "INSERT INTO public.dbs (database_name, sqlalchemy_uri) VALUES (%s, %s)", name, uri)
            try:
                done = perf(superset_stack, "watch", "add", "a_lake", "t")
                assert "'a_lake' is trino, and only PostgreSQL can be watched; probe it instead" in done.stderr
                done = perf(superset_stack, "watch", "add", "away", "t")
                assert "Error: the database 'away' cannot be connected to:" in done.stderr
                assert "secret" not in done.stderr and done.returncode == 1
                ((away,),) = run(metadata, "SELECT id FROM public.dbs WHERE database_name = 'away'")
                run(metadata, "INSERT INTO superset_ext.cache_watch VALUES (%s, 'public', 't')", away)
                (row,) = said(perf(superset_stack, "watch", "list", "--json"))
                assert row["intact"] is False and "cannot be connected to" in row["problem"]
            finally:
                run(metadata, "DELETE FROM public.dbs WHERE database_name = ANY(%s)", list(uris))
            done = perf(superset_stack, "watch", "remove", str(away), "--all")
            assert done.stdout.strip().endswith("Not watched any more: public.t."), done.stderr
            assert f"Superset has no database {away} any more" in done.stderr
            assert run(metadata, "SELECT 1 FROM superset_ext.cache_watch") == []

    def test_nobody_listens(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Intent: whoever looks at a list of watches is told that they tell nobody."""
        row = {"database": "d", "table": "t", "added_at": None, "notified_at": None, "problem": None}
        for listeners in (0, 1, None):
            print_watches([{**row, "listeners": listeners}])
            warning = capsys.readouterr().err
            assert warning == ("Nobody listens; start: superset perf listen\n" if listeners == 0 else "")

    @pytest.mark.thorough
    def test_a_chart_follows_its_table(self, superset_stack: RunningStack, table: str, tmp_path: Path) -> None:
        """Intent: the whole way: a commit on the source, and the next request of a cached chart has the new rows."""
        client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
        body = {"database": database_id(client), "schema": "public", "table_name": table}
        dataset = int(client.post("/api/v1/dataset/", json=body).json()["id"])

        def rows() -> tuple[int, bool]:
            answer = client.post("/api/v1/chart/data", json=_counting(dataset)).json()["result"][0]
            return answer["data"][0]["total"], bool(answer["is_cached"])

        perf(superset_stack, "watch", "add", "examples", table)
        command = [program("superset"), "perf", "listen"]
        with process(command, superset_stack.env, tmp_path / "log") as listener:
            with connected(superset_stack.examples_url) as source:
                until(lambda: run(source, _LISTENS, LISTENER))
                until(lambda: rows() == (1, True))
                run(source, f"UPDATE {table} SET num = 5")
                began = time.monotonic()
                until(lambda: rows()[0] == 5)
                print(f"the chart followed within {time.monotonic() - began:.3f} s")
                until(lambda: rows() == (5, True))
            shown = said(perf(superset_stack, "watch", "list", "--json"))
            assert shown[0]["listeners"] == 2 and shown[0]["notified_at"]
            listener.terminate()
            assert listener.wait(PATIENCE) == 0, (tmp_path / "log").read_text()[-2000:]
        client.http.delete(f"{client.base}/api/v1/dataset/{dataset}")


_LISTENS = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"


def _counting(dataset: int) -> dict[str, Any]:
    body = Chart(dataset).body()
    metric = {"expressionType": "SQL", "sqlExpression": "SUM(num)", "label": "total"}
    body["queries"] = [{"columns": [], "metrics": [metric], "filters": [], "row_limit": 1}]
    return body

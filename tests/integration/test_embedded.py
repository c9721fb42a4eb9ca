"""The embedded stack with its examples, as a person finds it after `make up`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import requests

from superset_ext.embedded.ports import LOOPBACK
from superset_ext.settings import OWN_DASHBOARDS, OWN_DATABASE
from testing.stack import END_SECONDS, READY, RunningStack, Up, embedded, left

# What stock's `superset load_examples` of 6.1.0 makes, counted once in a database of its own.
STOCK = {"dashboards": 9, "slices": 103, "tables": 21, "table_columns": 709, "sql_metrics": 32, "dashboard_slices": 102}
_OURS = f"SELECT t.id FROM tables t JOIN dbs d ON d.id = t.database_id WHERE d.uuid = '{OWN_DATABASE}'"
_BOARDS = f"SELECT id FROM dashboards WHERE slug IN {OWN_DASHBOARDS}"
# What is not the performance dashboards'.
NOT_OURS = {
    "dashboards": f"id NOT IN ({_BOARDS})",
    "dashboard_slices": f"dashboard_id NOT IN ({_BOARDS})",
    "slices": f"datasource_id NOT IN ({_OURS})",
    "tables": f"id NOT IN ({_OURS})",
    "table_columns": f"table_id NOT IN ({_OURS})",
    "sql_metrics": f"table_id NOT IN ({_OURS})",
}
STOCK_ROWS = {"flights": 55_105, "birth_names": 75_691, "wb_health_population": 11_770, "long_lat": 261_552}


@pytest.fixture
def stack(superset_stack: RunningStack) -> RunningStack:
    """Only a stack whose process is ours can be looked at from outside."""
    if superset_stack.up is None:
        pytest.skip("the stack of TEST_STACK was started by somebody else")
    return superset_stack


def value(url: str, question: str) -> object:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(question)
            row = cursor.fetchone()
            return row[0] if row else None
    finally:
        connection.close()


def healthy(url: str) -> bool:
    return requests.get(f"{url}/health", timeout=END_SECONDS).status_code == 200


def of_each(up: Up, ask: Callable[[psutil.Process], list[Any]]) -> list[Any]:
    """What the processes of a stack say, without those that have ended meanwhile."""
    answers = []
    for process in up.tree():
        with suppress(psutil.NoSuchProcess):
            answers += ask(process)
    return answers


def test_the_ready_line_is_true(stack: RunningStack) -> None:
    """Intent: it names the URL, and a user and password that can log in."""
    assert stack.up
    line = stack.up.wait_for(READY).groupdict()
    login = {"username": line["user"], "password": line["password"], "provider": "db"}
    answer = requests.post(f"{line['url']}/api/v1/security/login", json=login, timeout=END_SECONDS)
    assert answer.status_code == 200
    assert "access_token" in answer.json()


def test_the_examples_are_stock_s(superset_stack: RunningStack) -> None:
    """Intent: loading by COPY leaves the same dashboards, charts, datasets and columns as stock, and all rows."""
    metadata = superset_stack.env["SUPERSET_EXT_DATABASE_URL"]
    assert {table: value(metadata, f"SELECT count(*) FROM {table} WHERE {NOT_OURS[table]}") for table in STOCK} == STOCK
    rows = {table: value(superset_stack.examples_url, f"SELECT count(*) FROM {table}") for table in STOCK_ROWS}
    assert rows == STOCK_ROWS


def test_env_is_for_a_shell(superset_stack: RunningStack) -> None:
    """Intent: `eval` of it gives addresses that answer; the log's tables are found without their schema."""
    done = embedded("env", "--state-dir", superset_stack.state_dir)
    assert done.returncode == 0
    script = 'eval "$1"; printf "%s\\n" "$SUPERSET_URL" "$DATABASE_URL" "$EXAMPLES_URL" "$REDIS_URL"'
    out = subprocess.run(["sh", "-c", script, "sh", done.stdout], capture_output=True, text=True, check=True).stdout
    own = superset_stack
    assert out.split() == [own.url, own.database_url, own.examples_url, own.redis_url]
    assert value(own.database_url, "SELECT count(*) >= 0 FROM cache_performance_log") is True


@pytest.mark.thorough
def test_superset_s_command_is_that_of_the_stack(superset_stack: RunningStack) -> None:
    """Intent: its words, status and output are its own, options of it too."""
    done = embedded("superset", "--state-dir", superset_stack.state_dir, "--", "perf", "status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert {"chart_data", "metadata"} <= {region["region"] for region in status["regions"]}
    done = embedded("superset", "--state-dir", superset_stack.state_dir, "--", "perf", "no-such-command")
    assert done.returncode == 2 and "No such command 'no-such-command'" in done.stderr


def test_everything_listens_on_loopback_alone(stack: RunningStack) -> None:
    """Intent: nobody on the network reaches a development stack."""
    assert stack.up
    sockets = [c for c in of_each(stack.up, lambda p: p.net_connections()) if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in sockets} == {LOOPBACK}
    assert len({c.laddr.port for c in sockets}) == 3


def test_no_list_of_processes_shows_a_secret(stack: RunningStack) -> None:
    """Intent: every user of the machine can see command lines."""
    assert stack.up
    shown = " ".join(of_each(stack.up, lambda p: p.cmdline()))
    secrets = [p.read_text().strip() for p in stack.state_dir.iterdir() if p.suffix in (".password", ".key")]
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in shown]
    assert all((stack.state_dir / p).stat().st_mode & 0o077 == 0 for p in ("admin.password", "secret.key"))


def test_a_second_start_on_it_is_refused(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: on the same state, or on the same port: one line, and the stack that runs is not disturbed."""
    done = embedded("up", "--state-dir", superset_stack.state_dir)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "a stack already runs on" in done.stderr
    port = superset_stack.url.rpartition(":")[2]
    done = embedded("up", "--state-dir", tmp_path / "state", "--port", port)
    assert f"port {port} is in use; run: make up PORT=<another>" in done.stderr
    assert healthy(superset_stack.url)


@pytest.mark.thorough
def test_a_killed_web_server_is_restarted(stack: RunningStack) -> None:
    """Intent: said in one line; its workers do not live on with the port; charts are answered again."""
    assert stack.up
    before = len(stack.up.lines)
    web = of_each(stack.up, lambda p: [p] if "gunicorn" in " ".join(p.cmdline()) else [])[0]
    old = [web, *web.children(recursive=True)]
    web.kill()
    stack.up.wait_for(r"\| web was killed by SIGKILL; starting it again$", after=before)
    assert not left(old)
    stack.up.wait_for(r"web .*Listening at", after=before)
    assert healthy(stack.url)
    assert len([line for line in stack.up.lines[before:] if re.search(r"stack +\| web", line)]) == 1


def test_tasks_leave_no_traceback(stack: RunningStack) -> None:
    """Intent: Superset's clean-up after each task runs within an app context, and the tick keeps quiet."""
    assert stack.up
    lines = [line for line in stack.up.lines if "worker" in line or "warmer" in line]
    assert not [line for line in lines if "outside of application context" in line]
    assert not [line for line in lines if "superset_ext.warm_tick[" in line]

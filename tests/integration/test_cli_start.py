"""How the commands start: what they print is theirs, and those that need no Superset do not load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from testing.in_process import InProcess
from testing.programs import program

AWAY = "postgresql://u:p@127.0.0.1:9/x"
ROOT = Path(__file__).resolve().parents[2]
# As `python -m superset_ext.cli` runs; at its end it says on standard error whether Superset was loaded.
BARE = """
import atexit, runpy, sys
atexit.register(lambda: print("superset" in sys.modules, file=sys.stderr))
runpy.run_module("superset_ext.cli", run_name="__main__", alter_sys=True)
"""


def run(command: list[str], app: InProcess) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **app.env, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("words", ["status", "alerts list", "recommend", "warm"])
def test_commands_that_need_no_superset_do_not_load_it(superset_app: InProcess, words: str) -> None:
    """Intent: loading Superset takes nine seconds; what a command says is the same without."""
    done = run([sys.executable, "-c", BARE, *words.split(), "--json"], superset_app)
    assert (done.returncode, done.stderr) == (0, "False\n"), done.stdout + done.stderr
    output = json.loads(done.stdout)
    within = json.loads(superset_app.perf(*words.split(), "--json").stdout)
    assert type(output) is type(within)
    if words == "status":
        assert [row["region"] for row in output["regions"]] == [row["region"] for row in within["regions"]]
        assert all(row["reachable"] for row in output["regions"])
    if words == "alerts list":
        assert output == within


def test_json_is_all_that_is_printed(superset_app: InProcess) -> None:
    """Intent: Superset's words about its configuration and its log do not stand in a command's output."""
    done = run([str(program("superset")), "perf", "watch", "list", "--json"], superset_app)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    assert ":INFO:" not in done.stderr and "Warning:" not in done.stderr


def test_what_superset_says_can_be_seen(superset_app: InProcess) -> None:
    """Intent: `--verbose` lets through what Superset prints and logs; a command that fails is one line without it."""
    done = run([str(program("superset")), "perf", "--verbose", "watch", "list"], superset_app)
    assert "Loaded your LOCAL configuration" in done.stdout and "Nothing is watched" in done.stdout
    done = run([sys.executable, "-m", "superset_ext.cli", "alerts", "remove", "987654"], superset_app)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")


def test_a_database_that_is_away_is_a_line(superset_app: InProcess) -> None:
    """Intent: where the log is, and with it most often Superset's metadata, nothing listens: no page of traceback."""
    away = replace(superset_app, env={**superset_app.env, "SUPERSET_EXT_DATABASE_URL": AWAY})
    done = run([str(program("superset")), "perf", "warm", "--dashboards", "1", "--wait"], away)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "the metadata database at 127.0.0.1:9 does not answer (Connection refused)" in done.stderr
    away = replace(superset_app, env={**superset_app.env, "SUPERSET_EXT_LOG_DATABASE_URL": AWAY})
    done = run([sys.executable, "-m", "superset_ext.cli", "warm"], away)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "SUPERSET_EXT_LOG_DATABASE_URL" in done.stderr and "u:p" not in done.stderr

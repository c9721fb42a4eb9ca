"""Programs that are forks of one that has imported Superset: to whoever starts them they are programs."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from testing.programs import program

SHOW = """
import json, os, sys
json.dump([sys.argv, os.environ["SHOWN"], os.getcwd(), sys.stdin.read(), __name__, sys.path[0]], sys.stdout)
sys.exit(7)
"""
MAKE = """
import json, re, sys
loaded = "superset.config" in sys.modules
from superset.app import create_app
app = create_app()
rules = sorted(f"{rule} {sorted(rule.methods)}" for rule in app.url_map.iter_rules())
listed = {name: re.sub(" at 0x[0-9a-f]+", "", repr(value)) for name, value in app.config.items()}
from superset.models.core import Database
from superset.extensions import db
with app.app_context():
    hidden = Database.__table__.c.password.type.process_bind_param("hidden", db.engine.dialect)
print(json.dumps([loaded, rules, listed, hidden, sorted(app.cli.commands)], default=str))
"""


def test_a_fork_is_called_as_a_program_is(tmp_path: Path) -> None:
    """Intent: arguments, environment, folder, input, output and status are the caller's, as with the real one."""
    answers = []
    for real in (False, True):
        done = subprocess.run(
            [program("python", real=real), "-c", SHOW, "one", "t w o"], env={"SHOWN": "ü"}, cwd=tmp_path, input="in",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (7, "")
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1] == [["-c", "one", "t w o"], "ü", str(tmp_path), "in", "__main__", ""]


@pytest.mark.parametrize(
    "script",
    [
        "raise ValueError('said')",
        "import sys; sys.exit('said')",
        "import atexit; atexit.register(print, 'late')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import multiprocessing as m; p = m.Process(target=print, args=('child',)); p.start(); p.join()",
        "import os; os.fork() or os._exit(0); os.wait; raise SystemExit(3)",
    ],
)
def test_a_fork_ends_as_a_program_does(script: str) -> None:
    """Intent: errors, exit handlers, threads, forks of its own and signals leave what the real one leaves."""
    ends = [
        subprocess.run([program("python", real=real), "-c", script], capture_output=True, text=True, check=False)
        for real in (False, True)
    ]
    assert ends[0].returncode == ends[1].returncode
    assert ends[0].stdout == ends[1].stdout
    assert ends[0].stderr.splitlines()[-1:] == ends[1].stderr.splitlines()[-1:]


def test_signals_reach_a_fork_and_its_starter_s_end_ends_it(tmp_path: Path) -> None:
    """Intent: a test that is killed leaves nothing running, and one that asks a server to end is heard."""
    script = "import signal, time\nsignal.signal(15, lambda *_: exit(5))\nprint('ready', flush=True)\ntime.sleep(600)"
    command = [program("python"), "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:
        assert asked.stdout and asked.stdout.readline() == "ready\n"
        asked.send_signal(signal.SIGTERM)
        assert asked.wait(60) == 5
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout and killed.stdout.readline() == "ready\n"
        killed.kill()
        assert killed.stdout.read() == ""  # which ends when the last who could write has ended


@pytest.mark.thorough
def test_a_fork_makes_the_app_that_a_real_start_makes(tmp_path: Path) -> None:
    """Intent: what is saved is imports; config, routes, commands and the key of secrets are the fork's own."""
    config = tmp_path / "superset_config.py"
    own = "SECRET_KEY = 'a secret of this test, long enough'\nSQLLAB_TIMEOUT = 77\n"
    config.write_text(own + "from superset_ext.config import *\n")
    env = {"SUPERSET_CONFIG_PATH": str(config), "SUPERSET_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    env |= {"SUPERSET_EXT_REDIS_URL": "redis://127.0.0.1:1", "PYTHONPATH": str(Path(__file__).parents[2])}
    env["PYTHONHASHSEED"] = "0"  # as forks have it, for the order of sets
    made = []
    for real in (False, True):
        command = [program("python", real=real), "-c", MAKE]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made.append(json.loads(done.stdout.splitlines()[-1]))
    for fork, started in zip(*made, strict=True):
        assert fork == started
    loaded, _rules, listed, _hidden, commands = made[0]
    assert not loaded and listed["SQLLAB_TIMEOUT"] == "77" and "perf" in commands


@pytest.mark.parametrize(
    "words", [("superset", "--help"), ("gunicorn", "--version"), ("celery", "--version")], ids=" ".join
)
def test_console_scripts_are_forked_as_they_stand(words: tuple[str, str]) -> None:
    """Intent: each is the file that pip made, with what that makes of its arguments."""
    name, *rest = words
    ends = [
        subprocess.run([program(name, real=real), *rest], capture_output=True, text=True, check=False)
        for real in (False, True)
    ]
    assert [end.returncode for end in ends] == [ends[1].returncode] * 2
    assert ends[0].stdout == ends[1].stdout
    assert ends[0].stderr == ends[1].stderr

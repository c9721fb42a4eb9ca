"""The scripts that containers run: entrypoint.sh and healthcheck.py, and Valkey's command line, each for real."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import click
import pytest
import redis
import yaml
from celery.bin.beat import beat as celery_beat
from celery.bin.worker import worker as celery_worker
from flask_appbuilder.cli import create_admin, fab
from gunicorn.config import Config

from superset_ext.embedded.ports import free_port
from superset_ext.embedded.valkey import binary

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / "docker/entrypoint.sh"
HEALTHCHECK = ROOT / "docker/healthcheck.py"
BIN = Path(sys.executable).parent
CELERY_APP = "--app=superset.tasks.celery_app:app"
Recorded = Callable[..., tuple[int, list[list[str]]]]


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without what belongs to Superset or the package."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPERSET", "FLASK", "PYTHONPATH"))}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", **more}


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(c) for c in command], env=clean_environment(**environment), capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """Runs the entry script with a gunicorn, celery and superset that write down how they were called."""
    log = tmp_path / "calls"
    for name in ("gunicorn", "celery", "superset"):
        script = tmp_path / name
        script.write_text(
            f'#!/bin/sh\n{{ echo "$$"; echo "{name}"; for a; do echo "$a"; done;'
            f' echo "PASSWORD=$FLASK_FAB_CREATE_ADMIN_PASSWORD"; echo; }} >> {log}\n'
        )
        script.chmod(0o755)

    def start(role: str, **environment: str) -> tuple[int, list[list[str]]]:
        path = f"{tmp_path}:{BIN}:{os.environ['PATH']}"
        process = subprocess.Popen([ENTRYPOINT, role], env=clean_environment(**environment) | {"PATH": path})
        assert process.wait(60) == 0
        return process.pid, [call.split("\n") for call in log.read_text().strip().split("\n\n")]

    return start


def test_scripts_are_sound() -> None:
    """Intent: the shell script parses and shellcheck finds nothing to say."""
    assert run("bash", "-n", ENTRYPOINT).returncode == 0
    done = run(BIN / "shellcheck", "--norc", ENTRYPOINT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["web", "more"], ["--help"]], ids=str)
def test_entry_with_no_known_role_says_how(arguments: list[str]) -> None:
    """Intent: anything but one known role is one line of usage and EX_USAGE."""
    done = run(ENTRYPOINT, *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == "usage: entrypoint.sh init|web|worker|warmer|beat|worker-beat|listener\n"


@pytest.mark.parametrize("role", ["init", "web", "worker", "beat", "worker-beat"])
def test_entry_stops_at_a_bad_setting(role: str) -> None:
    """Intent: a bad setting ends every role at once, in one line that names the variable, before Superset is loaded."""
    done = run(ENTRYPOINT, role, SUPERSET_EXT_REDIS_URL="http://cache:6379")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "SUPERSET_EXT_REDIS_URL" in done.stderr


def test_web_becomes_gunicorn(recorded: Recorded) -> None:
    """Intent: the process is replaced, so that signals reach gunicorn; its own parser takes every option."""
    pid, [(caller, name, *arguments, _)] = recorded("web", SUPERSET_PORT="9", SUPERSET_BIND="::1", SUPERSET_THREADS="7")
    assert (int(caller), name) == (pid, "gunicorn")
    parsed = Config().parser().parse_args(arguments)
    assert parsed.args == ["superset.app:create_app()"]
    assert (parsed.bind, parsed.workers, parsed.threads, parsed.worker_class) == (["::1:9"], 2, 7, "gthread")
    assert parsed.worker_tmp_dir in ("/dev/shm", None)


def parsed(command: click.Command, arguments: list[str]) -> dict[str, object]:
    """The options as the command's own parser takes them; an unknown one is an error."""
    options, rest, _ = command.make_parser(click.Context(command)).parse_args(list(arguments))
    assert not rest
    return dict(options)


def test_worker_becomes_celery(recorded: Recorded) -> None:
    """Intent: a worker runs as many tasks as it is told; only worker-beat also keeps the schedule."""
    pid, [(caller, name, app, command, *arguments, _)] = recorded("worker", SUPERSET_CELERY_CONCURRENCY="3")
    assert (int(caller), name, app, command) == (pid, "celery", CELERY_APP, "worker")
    options = parsed(celery_worker, arguments)
    assert (options["concurrency"], options["pool"], options.get("beat")) == ("3", "prefork", None)


def test_worker_beat_keeps_the_schedule(recorded: Recorded) -> None:
    """Intent: worker and beat in one process, with the schedule file where it is told."""
    _, [(_, _, _, command, *arguments, _)] = recorded("worker-beat", SUPERSET_BEAT_SCHEDULE="/somewhere/beat")
    options = parsed(celery_worker, arguments)
    assert (command, options["beat"], options["schedule_filename"]) == ("worker", True, "/somewhere/beat")


def test_beat_leaves_no_pid_file(recorded: Recorded) -> None:
    """Intent: a pid file that a killed container left behind would keep beat from starting again."""
    pid, [(caller, name, app, command, *arguments, _)] = recorded("beat")
    assert (int(caller), name, app, command) == (pid, "celery", CELERY_APP, "beat")
    options = parsed(celery_beat, arguments)
    assert (options["pidfile"], options["schedule"]) == ("", "/tmp/celerybeat-schedule")


def test_init_migrates_then_makes_the_administrator(recorded: Recorded) -> None:
    """Intent: everything in order; the password reaches the command by its environment, never by its arguments."""
    _, calls = recorded("init", SUPERSET_ADMIN_PASSWORD="not-in-ps", SUPERSET_ADMIN_USER="boss")
    commands = [call[2:-1] for call in calls]
    assert commands[0] == ["db", "upgrade"]
    assert commands[1] == ["init"]
    assert commands[3] == ["perf", "upgrade"]
    assert commands[2][:2] == ["fab", "create-admin"]
    assert parsed(create_admin, commands[2][2:])["username"] == "boss"
    assert "not-in-ps" not in str(commands)
    assert [call[-1] for call in calls] == ["PASSWORD=", "PASSWORD=", "PASSWORD=not-in-ps", "PASSWORD="]


def test_the_password_variable_is_the_one_that_the_command_reads() -> None:
    """Intent: superset's command line takes options from FLASK_*: the name that entrypoint.sh uses must be its own."""
    root = click.Context(click.Group("superset"), info_name="superset", auto_envvar_prefix="FLASK")
    context = click.Context(
        create_admin, parent=click.Context(fab, parent=root, info_name="fab"), info_name="create-admin"
    )
    (password,) = [option for option in create_admin.params if option.name == "password"]
    assert f"{context.auto_envvar_prefix}_PASSWORD" == "FLASK_FAB_CREATE_ADMIN_PASSWORD"
    assert f"{context.auto_envvar_prefix}_PASSWORD" in ENTRYPOINT.read_text()
    assert password.allow_from_autoenv


def test_init_makes_no_administrator_unasked(recorded: Recorded) -> None:
    """Intent: no password, no administrator: there is no default one to guess."""
    _, calls = recorded("init")
    assert [call[2:-1] for call in calls] == [["db", "upgrade"], ["init"], ["perf", "upgrade"]]


class Health(BaseHTTPRequestHandler):
    """Answers with the status that its server was given."""

    def do_GET(self) -> None:
        status = self.server.status if self.path == "/health" else 404  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@contextmanager
def serving(status: int) -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        server.status = status  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_web_check_asks_health() -> None:
    """Intent: healthy is a 200 from /health; an error page and a closed port are not, and say so in one line."""
    with serving(200) as port:
        assert run(sys.executable, HEALTHCHECK, "web", SUPERSET_PORT=str(port)).returncode == 0
    with serving(500) as port:
        done = run(sys.executable, HEALTHCHECK, "web", SUPERSET_PORT=str(port))
        assert (done.returncode, done.stderr) == (1, f"unhealthy: /health on port {port} answers 500\n")
    done = run(sys.executable, HEALTHCHECK, "web", SUPERSET_PORT=str(port))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_beat_check_looks_at_the_schedule_file(tmp_path: Path) -> None:
    """Intent: beat that has not written its file, under any ending, for ten minutes is stuck."""
    schedule = str(tmp_path / "beat")
    check = (sys.executable, str(HEALTHCHECK), "beat")
    assert "does not exist" in run(*check, SUPERSET_BEAT_SCHEDULE=schedule).stderr
    (tmp_path / "beat.db").touch()
    assert run(*check, SUPERSET_BEAT_SCHEDULE=schedule).returncode == 0
    os.utime(tmp_path / "beat.db", (time.time() - 601, time.time() - 601))
    assert re.search(r"last written \d{3,} ", run(*check, SUPERSET_BEAT_SCHEDULE=schedule).stderr)


def test_listener_check_looks_at_the_file_that_it_touches(tmp_path: Path) -> None:
    """Intent: a listener that has not seen for a minute what is to be watched is blind."""
    beat = tmp_path / "listener"
    check = (sys.executable, str(HEALTHCHECK), "listener")
    assert "does not exist" in run(*check, SUPERSET_LISTENER_BEAT=str(beat)).stderr
    beat.touch()
    assert run(*check, SUPERSET_LISTENER_BEAT=str(beat)).returncode == 0
    os.utime(beat, (time.time() - 61, time.time() - 61))
    assert re.search(r"last touched \d{2,} ", run(*check, SUPERSET_LISTENER_BEAT=str(beat)).stderr)


def test_check_of_no_known_role_says_how() -> None:
    """Intent: anything but one known role is one line of usage."""
    done = run(sys.executable, HEALTHCHECK, "init")
    assert (done.returncode, done.stderr) == (64, "usage: healthcheck.py web|worker|warmer|beat|listener\n")


@contextmanager
def started(command: list[str], ready: str, environment: dict[str, str]) -> Iterator[None]:
    """Runs a server from the line of its output that contains `ready` on, and ends it whatever happens."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        output = process.stdout
        try:
            assert any(ready in line for line in output), f"{command[0]} ended before it was ready"
            Thread(target=output.read, daemon=True).start()  # a full pipe would stop the server
            yield
        finally:
            process.terminate()
            process.wait(120)


@contextmanager
def composed_valkey(tmp_path: Path) -> Iterator[str]:
    """A Valkey started by the compose file's own command line; gives its address."""
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["valkey"]
    script = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["command"][2]).replace("$$", "$")
    script = script.replace("/tmp/", f"{tmp_path}/").replace("--dir /data", f"--dir {tmp_path}")
    port = free_port()
    environment = clean_environment(VALKEY_PASSWORD="open-sesame") | {"PATH": f"{binary().parent}:/usr/bin:/bin"}
    with started(["sh", "-c", f"{script} --bind 127.0.0.1 --port {port}"], "Ready to accept", environment):
        yield f"127.0.0.1:{port}"


def test_valkey_starts_as_the_compose_file_says(tmp_path: Path) -> None:
    """Intent: the password is asked for, no list of processes shows it, and the policy spares what has no timeout."""
    with composed_valkey(tmp_path) as address:
        with pytest.raises(redis.AuthenticationError), redis.Redis.from_url(f"redis://{address}") as stranger:
            stranger.ping()
        with redis.Redis.from_url(f"redis://:open-sesame@{address}", decode_responses=True) as client:
            config = client.config_get("maxmemory*") | client.config_get("appendonly")
            pid = client.info("server")["process_id"]
        shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True)
    assert (config["maxmemory"], config["maxmemory-policy"]) == (str(512 * 1024**2), "volatile-lru")
    assert config["appendonly"] == "yes"
    assert "open-sesame" not in shown.stdout


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("REDIS_URL", "ftp://x", "SUPERSET_EXT_REDIS_URL has the scheme 'ftp'; use one of redis, "),
        ("KEY_MEMORY", "9", "no broker for Celery: set SUPERSET_EXT_REDIS_URL or SUPERSET_EXT_BROKER_URL"),
    ],
)
def test_worker_check_names_a_wrong_setting(name: str, value: str, line: str) -> None:
    """Intent: a container that is set up wrongly is unhealthy with one line, not with a traceback."""
    env = {f"SUPERSET_EXT_{name}": value, "PYTHONPATH": str(ROOT)}
    done = run(sys.executable, HEALTHCHECK, "worker", **env)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith(f"unhealthy: {line}")


@pytest.mark.thorough
def test_worker_check_pings_this_host_s_worker(tmp_path: Path) -> None:
    """Intent: a worker that runs is healthy; without it, or without the broker, the check says which, but no
    password."""
    check = (sys.executable, str(HEALTHCHECK), "worker")
    with composed_valkey(tmp_path) as address:
        url = f"redis://:open-sesame@{address}"
        env = {"SUPERSET_EXT_REDIS_URL": url, "PYTHONPATH": str(ROOT)}
        worker = [str(BIN / "celery"), f"--broker={url}/0", "worker", "--pool=solo", "--loglevel=INFO"]
        with started(worker, " ready.", clean_environment()):
            done = run(*check, **env)
            assert done.returncode == 0, done.stderr
        done = run(*check, **env)
        assert (done.returncode, done.stderr) == (1, f"unhealthy: celery@{socket.gethostname()} does not answer\n")
    done = run(*check, **env)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("unhealthy: the broker does not answer")

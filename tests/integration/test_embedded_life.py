"""A stack from an interrupted first start to its end, beside another one."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from superset_ext.embedded.ports import answers
from superset_ext.embedded.processes import note
from superset_ext.embedded.state import StateDir
from superset_ext.settings import OWN_DASHBOARDS, OWN_DATABASE
from testing.serving import Client
from testing.stack import END_SECONDS, READY, RunningStack, Up, embedded, left
from tests.integration.test_embedded import healthy, value

pytestmark = pytest.mark.timeout(900)


def ended(up: Up, number: signal.Signals, ports: list[int]) -> int:
    """Its status, once nothing of it runs and nothing answers where it did."""
    tree = up.tree()
    assert len(tree) > 8
    status = up.end(number)
    assert not left(tree, END_SECONDS)
    assert not [port for port in ports if answers(port)]
    return status


def assert_reads_its_own(copy: RunningStack, original: RunningStack) -> None:
    """It has the secrets of the other one, and a database in it is asked at the copy's own server."""
    assert copy.password == original.password
    client = Client(copy.url, copy.user, copy.password)
    (database,) = [row for row in client.get("/api/v1/database/").json()["result"] if row["uuid"] == OWN_DATABASE]
    assert "superset_ext" in client.get(f"/api/v1/database/{database['id']}/schemas/").json()["result"]
    uri = f"SELECT sqlalchemy_uri FROM dbs WHERE uuid = '{OWN_DATABASE}'"
    port = urlsplit(str(value(copy.env["SUPERSET_EXT_DATABASE_URL"], uri))).port
    assert port == urlsplit(copy.database_url).port != urlsplit(original.database_url).port


@pytest.mark.marathon
def test_the_life_of_a_stack(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: one story, since each chapter needs the one before: a first start is what takes long.

    Killed outright in the middle of the migrations, it leaves nothing running; the next start goes on from there, and
    is ready beside the session's stack; Ctrl-C leaves nothing; the start after that has nothing to prepare, and so has
    a start on a copy of its files, beside it; `down` ends it.
    """
    state_dir = tmp_path / "state"
    up = Up(state_dir, "--no-examples")
    up.wait_for("migrations")
    tree = up.tree()
    up.process.kill()
    assert not left(tree, END_SECONDS)

    up = Up(state_dir, "--no-examples", port=up.port)
    up.wait_for("Preparing Superset's database: done")
    up.wait_for(READY)
    mine = RunningStack.on(state_dir, up)
    assert healthy(mine.url)
    assert healthy(superset_stack.url)
    others = f"SELECT count(*) FROM dashboards WHERE slug IS NULL OR slug NOT IN {OWN_DASHBOARDS}"
    assert value(mine.env["SUPERSET_EXT_DATABASE_URL"], others) == 0
    ports = list(StateDir(state_dir).running()["ports"].values())
    assert ended(up, signal.SIGINT, ports) == 0

    copied = Path(shutil.copytree(state_dir, tmp_path / "copied"))
    copy = Up(copied, "--no-examples")
    up = Up(state_dir, "--no-examples", port=up.port)
    up.wait_for(READY)
    assert not [line for line in up.lines if "Preparing" in line or "Loading" in line]
    assert list(StateDir(state_dir).running()["ports"].values()) == ports
    try:
        copy.wait_for(READY)
        assert not [line for line in copy.lines if "Preparing" in line or "Loading" in line]
        assert_reads_its_own(RunningStack.on(copied, copy), mine)
    finally:
        copy.end()
    tree = up.tree()
    assert embedded("down", "--state-dir", state_dir).stdout == f"The stack of {state_dir} is stopped.\n"
    assert up.process.wait(END_SECONDS) == 0
    assert not left(tree, END_SECONDS)
    assert embedded("env", "--state-dir", state_dir).returncode == 1


def test_what_a_killed_stack_left_is_ended_by_down(tmp_path: Path) -> None:
    """Intent: where no kernel ends them: what the state directory names is ended, and only if it is that very
    process."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    mine = subprocess.Popen(["sleep", "600"], start_new_session=True)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        old = {**note(stranger.pid), "started": 1.0}
        state.note({"supervisor": old, "ports": {}, "parts": {"web": note(mine.pid), "worker": old}})
        done = embedded("down", "--state-dir", state.path)
        assert done.stdout == f"Ended what a killed stack had left running on {state.path}: web.\n"
        assert mine.wait(END_SECONDS) == -signal.SIGTERM
        assert stranger.poll() is None
    finally:
        mine.kill()
        stranger.kill()

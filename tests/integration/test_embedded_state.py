"""What stops a start before anything runs: one line each, that names the fix."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from superset_ext.embedded import initialise, marks
from superset_ext.embedded.__main__ import main
from superset_ext.embedded.addresses import renew_addresses
from superset_ext.embedded.browser import browser_line
from superset_ext.embedded.environment import exports
from superset_ext.embedded.files import write_whole
from superset_ext.embedded.ports import LOOPBACK, free_port
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.processes import note
from superset_ext.embedded.stack import ROOT, Stack
from superset_ext.embedded.state import StateDir
from superset_ext.errors import StackError
from testing.stack import embedded

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Runs `up` on a state directory, and gives the one line that it ends with."""

    def up(state_dir: Path, *options: str, **env: str) -> str:
        done = embedded("up", "--state-dir", state_dir, *options, **env)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("superset_ext: ")
        return done.stderr

    return up


def test_a_port_in_use(refused: Refused, tmp_path: Path) -> None:
    """Intent: before minutes of preparation, not after."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(tmp_path / "state", "--port", port)
    assert f"port {port} is in use; run: make up PORT=<another>" in line


def test_a_newer_version_of_what_is_applied_is_prepared_for() -> None:
    """Intent: who fetches a newer version and runs `make up` on the old state gets its tables, views, dashboards and
    triggers; a folder of SQL that was forgotten here left answers to be computed each time."""
    folders = {path.parent.name for path in marks.applied_files()}
    assert {"schema", "views", "grants", "watch", "aggregates", "dashboards", "charts"} <= folders
    applied = {path.parent.name for path in (ROOT / "sql").rglob("*.sql")} - {"queries"}
    assert applied <= folders


def test_a_folder_of_somebody_else(refused: Refused, tmp_path: Path) -> None:
    """Intent: a `postgres` folder that lies there must not be taken for an unfinished one of ours, and replaced."""
    precious = tmp_path / "postgres" / "precious"
    precious.parent.mkdir()
    precious.write_text("data")
    assert "was not made by this stack; run: make up STATE_DIR=<a new directory>" in refused(tmp_path)
    assert precious.read_text() == "data"


def test_a_state_directory_that_cannot_be_made(refused: Refused, tmp_path: Path) -> None:
    """Intent: also where the user is root, whom permissions do not stop."""
    (tmp_path / "file").touch()
    assert "run: make up STATE_DIR=<a directory of yours>" in refused(tmp_path / "file" / "state")
    assert "was not made by this stack" in refused(tmp_path / "file")


def test_data_of_another_postgresql(refused: Refused, tmp_path: Path) -> None:
    """Intent: the data is kept, and the line says of which version it is."""
    StateDir(tmp_path / "state").prepare()
    data = tmp_path / "state/postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("14\n")
    assert "is of PostgreSQL 14, not 18; move it away, or run: make up STATE_DIR=<another>" in refused(
        tmp_path / "state"
    )
    assert (data / "PG_VERSION").exists()


def test_a_setting_that_is_none(refused: Refused, tmp_path: Path) -> None:
    """Intent: the caller's own settings are checked once, not in each part's log."""
    line = refused(tmp_path / "state", SUPERSET_EXT_RETENTION_DAY="3")
    assert "SUPERSET_EXT_RETENTION_DAY is not a setting; did you mean SUPERSET_EXT_RETENTION_DAYS?" in line


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: with the numbers, before anything is written."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - 10**8, 10**8))
    with pytest.raises(StackError, match=r"95 MB are free on the disk of .*, 1024 MB are needed; free some, or run"):
        StateDir(tmp_path / "state").prepare()


def test_a_disk_that_fills_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Intent: no traceback when a write fails on the way."""

    def full(_: StateDir) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(StateDir, "prepare", full)
    assert main(["up", "--state-dir", str(tmp_path / "state")]) == 1
    assert capsys.readouterr().err.endswith("is full; free some space, then go on with: make up\n")


def test_two_starts_on_one_directory(tmp_path: Path) -> None:
    """Intent: the kernel's lock decides, so a stack that was killed does not count."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    with state.locked():
        state.note({"ports": {"web": 8099}})
        assert state.is_locked()
        with pytest.raises(StackError, match=r"a stack already runs on .*, at port 8099; stop it with: make down"):
            state.locked().__enter__()
    assert not state.is_locked()


def test_secrets_are_made_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    """Intent: a second start signs with the same key; no other user reads it."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    first = state.secret("secret.key")
    assert state.secret("secret.key") == first
    assert stat.S_IMODE((state.path / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_a_server_s_port_is_kept_until_it_is_taken(tmp_path: Path) -> None:
    """Intent: bookmarked addresses stay; a stranger on the port does not stop the start."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    kept = state.port("postgres")
    assert state.port("postgres") == kept
    with socket.create_server((LOOPBACK, kept)):
        assert state.port("postgres") != kept


def test_a_copy_has_ports_of_its_own(tmp_path: Path) -> None:
    """Intent: a stack and its copy start in any order, and each finds its own addresses again."""
    first, second = StateDir(tmp_path / "first"), StateDir(tmp_path / "second")
    first.prepare()
    first.adopt()
    port, secret = first.port("postgres"), first.secret("secret.key")
    shutil.copytree(first.path, second.path)
    second.prepare()
    second.adopt()
    assert second.port("postgres") != port
    assert second.secret("secret.key") == secret, "what the databases hold was signed and encrypted with it"
    first.adopt()
    assert first.port("postgres") == port


def test_a_copy_does_not_end_what_it_was_copied_from(tmp_path: Path) -> None:
    """Intent: the processes that a copied note names belong to the other stack."""
    first, second = StateDir(tmp_path / "first"), StateDir(tmp_path / "second")
    first.prepare()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        try:
            first.note({"supervisor": note(process.pid), "ports": {}, "parts": {"web": note(process.pid)}})
            shutil.copytree(first.path, second.path)
            assert embedded("down", "--state-dir", second.path).stdout == f"Nothing runs on {second.path}.\n"
            assert process.poll() is None
            (tmp_path / "link").symlink_to(first.path)
            assert StateDir(tmp_path / "link").running() == first.running() != {}
        finally:
            process.kill()


OWN = "b24f23c2-0bca-595a-96b7-0f2cc2cd52f6"
ADDRESSES = [
    # name, uuid, address before, address after
    ("examples", "1" * 32, "127.0.0.1:1111/examples", "127.0.0.1:2222/examples"),
    ("Cache performance log", OWN, "127.0.0.1:1111/superset", "127.0.0.1:2222/superset"),
    ("mine on it", "2" * 32, "127.0.0.1:1111/mine", "127.0.0.1:2222/mine"),
    ("elsewhere", "3" * 32, "127.0.0.1:11111/other", "127.0.0.1:11111/other"),
]


def test_superset_s_databases_follow_the_server_to_another_port(database_url: str) -> None:
    """Intent: a copied stack reads its own data; databases of other servers keep their addresses."""

    def addresses() -> list[str]:
        cursor.execute("SELECT split_part(sqlalchemy_uri, '@', 2) FROM dbs ORDER BY uuid, database_name")
        return [address for (address,) in cursor.fetchall()]

    assert renew_addresses(database_url, 2222) == 0, "before Superset's first start there is no table"
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE TABLE dbs (database_name text, uuid uuid, sqlalchemy_uri text)")
        for name, uuid, address, _ in ADDRESSES:
            cursor.execute("INSERT INTO dbs VALUES (%s, %s, %s)", (name, uuid, f"postgresql://u:XXXXXXXXXX@{address}"))
        assert renew_addresses(database_url, 2222) == 3
        assert sorted(addresses()) == sorted(after for _, _, _, after in ADDRESSES)
        assert renew_addresses(database_url, 2222) == 0


def test_an_interrupted_initdb_is_done_again(tmp_path: Path) -> None:
    """Intent: a folder without a finished cluster in it is replaced, so that the next start goes on."""
    server = Postgres(tmp_path / "postgres")
    for half in (tmp_path / "postgres", tmp_path / "postgres.new"):
        half.mkdir()
        (half / "base").mkdir()
    server.start()
    try:
        assert server.url().startswith("postgresql://")
        server.wait()
    finally:
        server.stop()


def test_commands_for_a_stack_where_none_runs(tmp_path: Path) -> None:
    """Intent: they say so, and make no directory."""
    state_dir = tmp_path / "state"
    for words in (["env"], ["superset"]):
        done = embedded(*words, "--state-dir", state_dir)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"superset_ext: no stack runs on {state_dir}; start one with: make up\n"
    done = embedded("down", "--state-dir", state_dir)
    assert (done.returncode, done.stdout) == (0, f"Nothing runs on {state_dir}.\n")
    assert not state_dir.exists()


def test_exports_are_safe_for_a_shell() -> None:
    """Intent: `eval` of a path with a quote and a space gives the path."""
    assert exports({"A": "it's $HOME"}) == """export A='it'"'"'s $HOME'"""


def test_what_the_parts_are_told_is_free_of_the_caller_s_superset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a shell that was set up for another Superset does not mix the two; our own settings pass."""
    for name in ("SUPERSET_CONFIG", "SUPERSET_SECRET_KEY", "FLASK_APP", "PYTHONPATH", "PGHOST"):
        monkeypatch.setenv(name, "foreign")
    monkeypatch.setenv("SUPERSET_EXT_RETENTION_DAYS", "7")
    state = StateDir(tmp_path / "state")
    state.prepare()
    (state.path / "postgres.password").write_text("secret")
    env = Stack.on(state, 8088).environment
    assert "foreign" not in env.values()
    assert env["SUPERSET_EXT_RETENTION_DAYS"] == "7"


def test_a_missing_browser_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    """Intent: `make up` brings what drives a browser; where none starts, a line says so, and how to get one."""
    nowhere = {**os.environ, "SUPERSET_EXT_WARM_BROWSER": str(tmp_path / "none")}
    line = browser_line(nowhere) or ""
    assert "executable doesn't exist" in line and "\n" not in line
    assert f"`{Path(sys.executable).with_name('playwright')} install --with-deps chromium`" in line
    assert Path(sys.executable).with_name("playwright").exists()


def test_what_opens_pages_is_in_the_lock_of_make_up() -> None:
    """Intent: warming a page that nobody has opened needs no package for developers."""
    assert re.search(r"^playwright==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)


NOTES = [
    "", "{", "[]", "null", "[" * 100_000, '{"state_dir": 1}', '{"state_dir": "HERE", "ports": [8088]}',
    '{"state_dir": "HERE", "ports": {"web": "8088"}}', '{"state_dir": "HERE", "ports": {"web": true}}',
    '{"state_dir": "HERE", "parts": {"web": 7}}', '{"state_dir": "HERE", "parts": {"web": {"pid": 1, "started": 0}}}',
    '{"state_dir": "HERE", "supervisor": {"pid": "7", "started": 0}}',
    '{"state_dir": "HERE", "supervisor": {"pid": -1, "started": 0.5}}',
]  # fmt: skip
ODD = [
    *(("running.json", text, "delete it, then run: make up") for text in NOTES),
    ("running.json", b"\xff\xfe", "is no text; delete it"),
    *((f"{name}.port", text, "which is no port; delete it, then run: make up")
      for name in ("postgres", "valkey") for text in ("", "abc", "0", "99999", "-1", "8088 8089", "9" * 5000)),
    ("valkey.password", "", "is empty; delete it, then run: make up"),
    ("admin.password", " \n", "is empty; delete it, then run: make up"),
    ("secret.key", "", "put it back from a copy, or begin anew with: make up STATE_DIR=<a new directory>"),
    ("secret.key", b"\xff", "is no text"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "fix"), ODD, ids=range(len(ODD)))
def test_a_file_that_holds_nonsense_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | bytes, fix: str
) -> None:
    """Intent: what a full disk, a crash or a person left in a file is named with its fix, before anything starts."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    content = text if isinstance(text, bytes) else text.replace("HERE", str(state.path.resolve())).encode()
    (state.path / name).write_bytes(content)
    for command in ("up", "down") if name == "running.json" else ("up",):
        assert main([command, "--state-dir", str(state.path), "--port", str(free_port())]) == 1
        output = capsys.readouterr().err
        assert output.startswith("superset_ext: ") and output.count("\n") == 1 and len(output) < 400
        assert str(state.path / name) in output and fix in output
    assert (state.path / name).read_bytes() == content


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a disk that fills up while a secret is replaced leaves the old one, and no empty one where none was."""
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    write_whole(kept, "old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for file in (kept, fresh):
        with pytest.raises(OSError, match="No space left"):
            write_whole(file, "new")
    assert kept.read_text() == "old" and not fresh.exists()


def test_a_full_disk_is_the_reason_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a program whose last word is «SQLAlchemyError: ()» has said why some lines before."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    stack = Stack.at(state, {"web": 1, "postgres": 2, "valkey": 3})
    monkeypatch.setattr(Stack, "environment", dict(os.environ))
    reason = "psycopg2.errors.DiskFull: could not extend file: No space left on device"
    command = ["sh", "-c", f"echo '{reason}'; echo 'sqlalchemy.exc.SQLAlchemyError: ()'; exit 1"]
    with pytest.raises(StackError, match=r"the disk of .* is full \(.*could not extend file.*\); free some space"):
        initialise._run_logged("the preparation", command, stack, lambda _line: None)

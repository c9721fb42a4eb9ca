"""Root runs a PostgreSQL that refuses root: with user namespaces, without them, and from one to the other."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import psycopg2
import pytest

from superset_ext.core import unprivileged
from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import StackError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs this")


@pytest.fixture
def forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system whose kernel lets nobody make a user namespace, as Docker's default profile does."""
    refusing = tmp_path / "bin" / "unshare"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing.parent}:{os.environ['PATH']}")


def answers(data: Path) -> bool:
    server = Postgres(data).start()
    try:
        connection = psycopg2.connect(server.url("postgres"))
        connection.close()
        return True
    finally:
        server.stop()


def closed(tmp_path: Path) -> Path:
    """A folder under parents that are closed to others, as root's home is."""
    parent = tmp_path / "closed"
    parent.mkdir(mode=0o700)
    return parent / "postgres"


def test_in_a_namespace_the_data_stay_root_s(tmp_path: Path) -> None:
    """Intent: where namespaces are allowed, PostgreSQL runs for root and the files stay root's."""
    if not unprivileged._works(unprivileged._namespace()):
        pytest.skip("namespaces are forbidden here")
    data = closed(tmp_path)
    assert answers(data)
    assert data.stat().st_uid == 0


@pytest.mark.usefixtures("forbidden")
def test_without_namespaces_the_data_are_nobody_s_and_closed(tmp_path: Path) -> None:
    """Intent: where they are not, it runs as nobody, and no other user reads the files."""
    data = closed(tmp_path)
    assert answers(data)
    assert data.stat().st_uid == unprivileged._nobody().pw_uid
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_data_made_one_way_are_used_the_other_way(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Intent: a machine that forbids namespaces later still starts on the same files."""
    data = closed(tmp_path)
    assert answers(data)
    request.getfixturevalue("forbidden")
    assert answers(data)


def test_where_there_is_no_way_the_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: without either tool, one error names the ordinary user to start it as."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(StackError, match="ordinary user"):
        unprivileged.prefix(tmp_path)

"""Watches that an administrator has installed on a source: named until they are added, with the command for it."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from superset_ext.doctor.freshness import check_watches
from superset_ext.freshness.watch import installed
from superset_ext.freshness.watch.schema import FILES
from testing.in_process import InProcess
from testing.watches import TITLE, run


def install(source: Any, *tables: str) -> None:
    """What an administrator runs on the source."""
    for path in FILES:
        run(source, path.read_text())
    for table in tables:
        run(source, "SELECT superset_ext_watch.add(%s)", table)


def listed(app: InProcess) -> tuple[str, str]:
    """What `superset perf watch list` prints, and what it says on standard error."""
    done = app.perf("watch", "list")
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_the_command_that_is_named_ends_it(
    superset_app: InProcess, warehouse: Callable[[str], str], source: Any, database_url: str
) -> None:
    """Intent: triggers that are there are not "nothing"; the command that is printed runs as it stands, and ends it."""
    run(source, 'CREATE TABLE "Weird Table" (n int)')
    warehouse(database_url)
    assert "begin with: superset perf watch add" in listed(superset_app)[0]
    install(source, "sales", '"Weird Table"')
    stdout, hint = listed(superset_app)
    assert stdout == "Nothing is watched yet.\n"
    assert f"{TITLE}: 2 tables have triggers of a watch on the source, and nobody listens to them yet" in hint
    command = shlex.split(hint.split("run: ")[1])
    assert command[:5] == ["superset", "perf", "watch", "add", TITLE]
    added = superset_app.perf(*command[2:])
    assert added.exit_code == 0, added.output
    stdout, hint = listed(superset_app)
    assert "public.sales" in stdout and 'public."Weird Table"' in stdout
    assert hint == "Nobody listens; start: superset perf listen\n"


def test_what_is_added_besides_is_named_too(
    superset_app: InProcess, warehouse: Callable[[str], str], source: Any, database_url: str
) -> None:
    """Intent: where some tables are watched, those that an administrator has added since are named, and only those."""
    warehouse(database_url)
    assert superset_app.perf("watch", "add", TITLE, "sales").exit_code == 0
    run(source, "CREATE TABLE later (n int)")
    run(source, "SELECT superset_ext_watch.add('later')")
    _, hint = listed(superset_app)
    assert "1 table has triggers" in hint and "public.later" in hint and "public.sales" not in hint
    with superset_app.app.app_context():
        findings = list(check_watches(superset_app.app, superset_app.package))
    (finding,) = [one for one in findings if one.level == "warning"]
    assert "1 table has triggers" in finding.message
    assert finding.fix == f"run: superset perf watch add '{TITLE}' public.later"


def test_a_role_that_may_not_read_them(
    superset_app: InProcess, warehouse: Callable[[str], str], source: Any, role: Callable[..., Any], database_url: str
) -> None:
    """Intent: without `allow`, the triggers are still seen, and the statement that is missing is named."""
    install(source, "sales")
    connection = role()
    url = make_url(database_url).set(username=connection.info.user, password="x")
    warehouse(url.render_as_string(hide_password=False))
    _, hint = listed(superset_app)
    assert f"1 table has triggers of a watch on the source, which {connection.info.user} may not read" in hint
    run(source, hint.split("run: ")[1].split("; and then")[0])
    _, hint = listed(superset_app)
    assert "run: superset perf watch add 'The ware house' public.sales" in hint


def test_the_listener_says_so_too(
    superset_app: InProcess, warehouse: Callable[[str], str], source: Any, database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Intent: a listener that has nothing to listen to says so when it starts, and why."""
    listen: Any = import_module("superset_ext.cli.listen")
    monkeypatch.setattr(listen, "listener", lambda *_: SimpleNamespace(run=lambda: None, stop=lambda: None))
    monkeypatch.setattr(listen.signal, "signal", lambda *_: None)
    warehouse(database_url)
    assert "Nothing is watched yet; it begins with" in superset_app.perf("listen").stderr
    install(source, "sales")
    assert superset_app.perf("listen").stderr == listed(superset_app)[1]
    assert superset_app.perf("watch", "add", TITLE, "sales").exit_code == 0
    assert superset_app.perf("listen").stderr == ""


def test_a_source_that_is_away_is_left_out(
    superset_app: InProcess, warehouse: Callable[[str], str], source: Any
) -> None:
    """Intent: a list of watches does not fail because some database of Superset's does not answer."""
    warehouse(f"postgresql://u:{uuid.uuid4().hex}@127.0.0.1:9/x")
    assert listed(superset_app)[1] == ""
    with superset_app.app.app_context():
        assert installed.hints(superset_app.app, superset_app.package.log()) == []


@pytest.fixture
def undecryptable(superset_app: InProcess) -> Iterator[int]:
    """A database of Superset's whose password was written with another SECRET_KEY."""
    from sqlalchemy import String
    from sqlalchemy.dialects.postgresql import dialect
    from sqlalchemy_utils import EncryptedType
    from superset.extensions import db
    from superset.models.core import Database

    secret = EncryptedType(String, "another secret").process_bind_param("x", dialect())
    with superset_app.app.app_context():
        made = Database(database_name="From elsewhere", sqlalchemy_uri="postgresql://u@127.0.0.1:9/none")
        db.session.add(made)
        db.session.commit()
        number = int(made.id)
    superset_app.rows("UPDATE dbs SET password = %s WHERE id = %s", (secret, number))
    yield number
    superset_app.rows("DELETE FROM superset_ext.cache_watch WHERE database_id = %s", (number,))
    superset_app.rows("DELETE FROM dbs WHERE id = %s", (number,))


def test_a_database_whose_secrets_cannot_be_read_is_its_own_trouble(
    undecryptable: int, superset_app: InProcess, warehouse: Callable[[str], str], source: Any, database_url: str
) -> None:
    """Intent: a database that was imported with another SECRET_KEY keeps nobody from what is said of the others, and is
    named with its reason where one of its tables is watched."""
    install(source, "sales")
    warehouse(database_url)
    superset_app.rows("INSERT INTO superset_ext.cache_watch VALUES (%s, 'public', 'far')", (undecryptable,))
    with superset_app.app.app_context():
        findings = list(check_watches(superset_app.app, superset_app.package))
    error, hint = findings
    assert (error.level, hint.level) == ("error", "warning")
    assert "public.far" in error.message and "were written with another SECRET_KEY; set that one" in error.message
    assert hint.message.startswith(f"{TITLE}: 1 table has triggers")

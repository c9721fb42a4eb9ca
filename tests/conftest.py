"""Real servers for the tests, one of each kind a session, started when the first test asks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import pytest
import redis

from superset_ext.core import log_database as db
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.databases import Databases, postgres_in
from testing.in_process import InProcess, start, stop
from testing.log import PATIENCE
from testing.programs import forked
from testing.stack import READY, RunningStack, Up

# A machine that stalls is no failure of what is tested.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# What one process has, and the group of its tests. A second app would disturb the first one, and the process of the
# largest group is not given the other tests that make an app.
SHARED = {"superset_stack": "stack", "in_process": "stack"}


@pytest.fixture(scope="session", autouse=True)
def time_for_the_log() -> Iterator[None]:
    """A machine that stalls is not a log database that is away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "STATEMENT_SECONDS", PATIENCE)
        patch.setitem(db.CONNECT, "connect_timeout", 60)
        patch.setitem(db.CONNECT, "tcp_user_timeout", int(PATIENCE * 1000))
        yield


@pytest.fixture(scope="session", autouse=True)
def forked_programs() -> Iterator[None]:
    """Superset's programs are forks of one that has imported it, once a test asks for one."""
    with forked():
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server; tests take a database of their own with the next four."""
    with postgres_in(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    """New databases of the session's server."""
    return Databases(postgres)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A new, empty database."""
    with databases.empty() as url:
        yield url


@pytest.fixture
def log_url(databases: Databases) -> Iterator[str]:
    """A new database with the schema of the log."""
    with databases.log() as url:
        yield url


@pytest.fixture
def views_url(databases: Databases) -> Iterator[str]:
    """A new database with the schema of the log and its views."""
    with databases.views() as url:
        yield url


@pytest.fixture
def database(log_url: str) -> Iterator[LogDatabase]:
    """The log database of `log_url`."""
    with closing(LogDatabase(log_url)) as made:
        yield made


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey server that the session shares."""
    server = Valkey(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """The session's Valkey server, empty: a stamp that another test left would make stale what is stored unread."""
    with closing(redis.Redis.from_url(shared_valkey.url)) as client:
        client.flushall()
    return shared_valkey


@pytest.fixture
def fresh_valkey(tmp_path: Path) -> Iterator[Callable[..., Valkey]]:
    """A maker of Valkey servers of the test's own, which it may kill, freeze and fill."""
    made: list[Valkey] = []

    def make(**options: object) -> Valkey:
        server = Valkey(tmp_path / f"valkey{len(made)}", **options)  # type: ignore[arg-type]
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def superset_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole embedded stack with its examples, once a session.

    TEST_STACK=<state directory> takes one that runs already, and leaves it running.
    """
    if running := os.environ.get("TEST_STACK"):
        yield RunningStack.on(Path(running))
        return
    state_dir = tmp_path_factory.mktemp("stack") / "state"
    up = Up(state_dir)
    try:
        up.wait_for(READY)
        yield RunningStack.on(state_dir, up)
    finally:
        up.end()


@pytest.fixture(scope="session")
def in_process(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A Superset of this process, asleep; tests take `superset_app`."""
    folder = tmp_path_factory.mktemp("in_process")
    args = ["--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru"]
    server = Valkey(folder / "valkey", args=args).start()
    made = start(postgres.create_database("in_process"), server.url, folder)
    yield made
    stop(made)
    server.stop()


@pytest.fixture
def superset_app(in_process: InProcess) -> Iterator[InProcess]:
    """A Superset of this process, awake."""
    with in_process.awake():
        yield in_process


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are spread over several processes, one has the stack, one the app, and each file is run by one.

    Without a Chromium, browser tests are skipped, saying so; in CI that is an error.
    """
    for item in items:
        used = getattr(item, "fixturenames", ())
        shared = next((group for name, group in SHARED.items() if name in used), item.path.name)
        item.add_marker(pytest.mark.xdist_group(shared))
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return
    if os.environ.get("CI") == "true" and any(item.get_closest_marker("browser") for item in items):
        raise pytest.UsageError("no Chromium for the browser tests; run: apt-get install chromium")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine; install the package chromium"))

"""Real servers for the tests, one of each kind a session, started when the first test asks."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import hypothesis
import psycopg2
import pytest
import redis
from werkzeug.security import generate_password_hash

from superset_ext.cache.redis import circuit
from superset_ext.core import log_database as db
from superset_ext.core import warn_once
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.databases import Databases, another_version, postgres_in, quick_folder
from testing.in_process import InProcess, start, stop
from testing.log import PATIENCE
from testing.programs import forked
from testing.stack import FIRST_START_SECONDS, READY, RunningStack, Up, copy_state

# A machine that stalls is no failure of what is tested.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

OTHER_POSTGRES = another_version()  # before a test's module, or a fixture, starts a server

PREPARED = "stack-prepared"  # a folder beside those of the processes
# What tests share within a process, and the group of these tests. Two processes have a stack each, one for browsers and
# one for all else; the third needs none.
SHARED = {"superset_stack": ("a stack for browsers", "a stack"), "in_process": ("in_process", "in_process")}


def pytest_report_header() -> str:
    """Which PostgreSQL the tests are about."""
    return f"servers: {OTHER_POSTGRES or 'the PostgreSQL of the wheel'}"


@pytest.fixture(scope="session", autouse=True)
def time_for_the_log() -> Iterator[None]:
    """A machine that stalls is not a log database that is away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "STATEMENT_SECONDS", PATIENCE)
        patch.setitem(db.CONNECT, "connect_timeout", 60)
        patch.setitem(db.CONNECT, "tcp_user_timeout", int(PATIENCE * 1000))
        yield


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, whatever other code of the process has done to loggers: Alembic disables ours, and a worker of
    Celery raises the level of all."""
    logging.disable(logging.NOTSET)
    caplog.set_level(logging.WARNING)
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == "superset_ext":
            logger.disabled, logger.propagate = False, True
            logger.setLevel(logging.NOTSET)
    return caplog


@pytest.fixture(autouse=True)
def without_a_past() -> None:
    """What this process knows of servers, and which warnings it has logged, is of no earlier test: the same port may
    have been another server's, and a warning is logged once a minute."""
    circuit._circuits.clear()
    warn_once._last.clear()


@pytest.fixture(scope="session", autouse=True)
def forked_programs() -> Iterator[None]:
    """Superset's programs are forks of one that has imported it, once a test asks for one."""
    with forked():
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server; tests take a database of their own with the next four."""
    with quick_folder(tmp_path_factory.mktemp("postgres")) as folder, postgres_in(folder) as server:
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
    """The whole embedded stack with its examples, once a process.

    TEST_STACK=<state directory> takes one that runs already, and leaves it running.
    """
    if running := os.environ.get("TEST_STACK"):
        yield RunningStack.on(Path(running))
        return
    own = tmp_path_factory.mktemp("stack")
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with quick_folder(own) as folder, _up(folder / "state", shared, own) as stack:
        yield stack


@contextmanager
def _up(state_dir: Path, shared: Path, own: Path) -> Iterator[RunningStack]:
    """A stack of this process; the first of several leaves its files for the others in `shared`."""
    first = _is_first(shared / "stack-begun")
    if not first:
        shutil.copytree(_prepared(shared), state_dir)
    up = Up(state_dir)
    try:
        up.wait_for(READY)
        stack = RunningStack.on(state_dir, up)
        _quick_password(stack)
        if first and shared != own:
            copy_state(stack, shared / "stack-copying")
            (shared / "stack-copying").rename(shared / PREPARED)
        yield stack
    finally:
        up.end()


def _quick_password(stack: RunningStack) -> None:
    """Have the admin's password be compared in no time: hundreds of tests log in, and nobody guesses at it."""
    with closing(psycopg2.connect(stack.database_url)) as connection, connection, connection.cursor() as cursor:
        quick = generate_password_hash(stack.password, "pbkdf2:sha256:1000")
        cursor.execute("UPDATE public.ab_user SET password = %s WHERE username = %s", (quick, stack.user))


def _is_first(mark: Path) -> bool:
    """Whether this is the first process to ask for a stack: it starts one from nothing, the others from its files."""
    try:
        mark.mkdir()
    except FileExistsError:
        return False
    return True


def _prepared(shared: Path) -> Path:
    """The files of the first process's stack, as they were before its tests began."""
    deadline = time.monotonic() + FIRST_START_SECONDS
    while not (shared / PREPARED).exists():
        assert time.monotonic() < deadline, "the stack of the other process has not started; its tests say why"
        time.sleep(0.2)
    return shared / PREPARED


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


# Groups, and files within a group. What takes longest goes first, so that all processes end together; what needs no
# stack stands where the second stack would otherwise wait for the first one's files.
FIRST = (
    "a stack for browsers", "test_listener_gaps.py", "in_process", "test_sharing.py", "test_event_log.py", "a stack",
    "test_dashboards.py", "test_warming.py", "test_same_answer.py", "test_performance_dashboards.py", "test_doctor.py",
    "test_lock.py", "test_sharing_http.py", "test_rights.py", "test_sharing_async.py", "test_warm_browser.py",
    "test_dashboards_install.py", "test_listener_commits.py", "test_freshness_machine.py", "test_uninstall.py",
    "test_configurations.py", "test_containers_scripts.py", "test_views_numbers.py", "test_sources.py", "test_tune.py",
    "test_views_refresh.py", "test_config.py", "test_watch_triggers.py", "test_recorder_faults.py",
    "test_codec_frames.py", "test_probe_changes.py", "test_warm_runs.py", "test_words.py", "test_flight.py",
    "test_security_page.py", "test_query_log.py", "test_programs.py", "test_standstill.py",
)  # fmt: skip


def _group(item: pytest.Item) -> str:
    """What is run by one process: what shares something dear, or else a file."""
    used = getattr(item, "fixturenames", ())
    groups = next((groups for name, groups in SHARED.items() if name in used), None)
    # Without the long tests, those of browsers are few, and not worth a stack of their own.
    alone = item.path.parent.name == "browser" and "not thorough" not in item.config.getoption("markexpr")
    return groups[not alone] if groups else item.path.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are spread over several processes, each group is run by one.

    Without a Chromium, browser tests are skipped, saying so; in CI that is an error.
    """
    groups = {item: _group(item) for item in items}
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: tuple(places.get(name, len(FIRST)) for name in (groups[item], item.path.name)))
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
        if OTHER_POSTGRES and "superset_stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="`make up` has the wheel's PostgreSQL, not that of TEST_POSTGRES"))
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return
    if os.environ.get("CI") == "true" and any(item.get_closest_marker("browser") for item in items):
        raise pytest.UsageError("no Chromium for the browser tests; run: apt-get install chromium")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine; install the package chromium"))


@pytest.fixture
def patient_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stalls is no metadata database that is silent, of which nothing is known for a while."""
    from superset_ext.grants import metadata_stamps

    for name in ("_WAIT", "_CONNECT"):
        monkeypatch.setattr(metadata_stamps, name, 60.0)

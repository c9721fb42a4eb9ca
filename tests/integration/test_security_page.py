"""What docs/security.md tells administrators to run does what it says: the user of Redis, roles and grants as SQL."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from sqlalchemy.engine import make_url

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.cache.redis.scripts import FILL, GRANT, LEFT, READ, SWAP, source
from superset_ext.core import warn_once
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.errors import StoreUnavailable
from superset_ext.events import Scope
from superset_ext.freshness.watch import triggers
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.monitor.dashboards import reader
from superset_ext.monitor.rollup.views import apply_views
from superset_ext.settings import Region
from testing.regions import make_region

PAGE = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text()
SQL = Path(__file__).resolve().parents[2] / "sql/watch"
PASSWORD = "PASSWORD"


def statements(words: str) -> str:
    """The block of SQL that has these words."""
    (block,) = [block for block in re.findall(r"^```sql\n(.*?)^```", PAGE, re.M | re.S) if words in block]
    return block


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in filter(str.strip, sql.split(";")):
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


def as_role(url: str, role: str) -> str:
    return str(make_url(url).set(username=role, password=PASSWORD).render_as_string(hide_password=False))


@pytest.fixture
def role(postgres: Postgres) -> str:
    """A role without any right, as a careful administrator gives to Superset."""
    name = f"superset_{uuid.uuid4().hex[:8]}"
    execute(postgres.url(), f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    return name


@pytest.fixture
def user_url(fresh_valkey: Callable[..., Valkey]) -> str:
    """A server with the user of the page."""
    server = fresh_valkey()
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.M)
    with closing(redis.Redis.from_url(server.url)) as admin:
        admin.execute_command(*line.split())
    return server.url.replace("redis://", f"redis://superset:{PASSWORD}@")


@pytest.mark.parametrize("name", list(Region))
def test_the_user_of_the_page_can_do_all_that_a_region_does(user_url: str, name: Region) -> None:
    """Intent: with the commands and keys of the ACL, everything that a region does works, and nothing is refused."""
    cache: Any = make_region(user_url, name)
    with running(Scope(dataset_id=1, database_id=1)):
        assert cache.get("k") is None
        assert cache.set("k", {"query": "SELECT 1 FROM t"})
    assert cache.get("k") == {"query": "SELECT 1 FROM t"}
    assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]
    assert cache.get_many("a", "b") == [1, 2]
    assert cache.add("n", 1)
    assert cache.inc("n") == 2
    assert cache.has("n")
    assert cache.delete("n")
    assert cache.delete_many("a", "b")
    assert cache.server_info().used_memory > 0
    assert cache.clear()
    assert cache.erase() is not None


def test_the_user_of_the_page_can_stamp_and_wait(user_url: str) -> None:
    """Intent: a change, and a caller who waits for another one's query, need commands of their own."""
    cache: Any = make_region(user_url, Region.CHART_DATA, lease_seconds=600, wait_seconds=600)
    began, go, answers = threading.Event(), threading.Event(), []

    def ask() -> None:
        with running(Scope(dataset_id=1, database_id=1)):
            value = cache.get("k")
            if value is None:
                began.set()
                assert go.wait(60)
                value = {"query": "SELECT 1 FROM t", "n": len(answers)}
                cache.set("k", value)
            answers.append(value)

    first, second = threading.Thread(target=ask), threading.Thread(target=ask)
    first.start()
    assert began.wait(60)
    second.start()
    go.set()
    for thread in (first, second):
        thread.join(60)
    assert answers == [{"query": "SELECT 1 FROM t", "n": 0}] * 2
    assert cache.stamp(["all"])
    assert cache.get("k") is None


@pytest.mark.parametrize("command", [("FLUSHDB",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("GET", "celery")])
def test_the_user_of_the_page_can_do_no_more(user_url: str, command: tuple[str, ...]) -> None:
    """Intent: neither dangerous commands nor other people's keys."""
    with closing(redis.Redis.from_url(user_url)) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


def everything(url: str) -> list[str]:
    """Do what regions do, whatever of it is refused; the reasons that the doctor would give."""
    for name in [Region.CHART_DATA]:
        cache: Any = make_region(url, name, wait_seconds=1, lease_seconds=5, total_timeout_ms=2000)
        with running(Scope(dataset_id=1, database_id=1)):
            cache.get("k")
            cache.set("k", {"query": "SELECT 1 FROM t"})
        cache.get("k")
        cache.set_many({"a": 1, "b": 2})
        cache.get_many("a", "b")
        cache.add("n", 1)
        cache.inc("n")
        cache.has("n")
        cache.delete("n")
        cache.delete_many("a", "b")
        reasons = [cache.unreached()]
        if isinstance(cache, ChartCache):
            _change(cache)
        cache.clear()
        cache.erase()
    return [reason for reason in reasons if reason]


def _change(cache: ChartCache) -> None:
    with suppress(StoreUnavailable):
        cache.beat(1, {"any"})
    with suppress(StoreUnavailable):
        cache.listeners()
    with suppress(StoreUnavailable):
        cache.stamps_health()
    with suppress(StoreUnavailable):
        cache.stamp(["all"])
    with running(Scope(dataset_id=1, database_id=1)):
        cache.get("k")
        other = threading.Thread(target=_wait_for, args=[cache])
        other.start()
        cache.set("k", {"query": "SELECT 1 FROM t"})
        other.join(60)


def _wait_for(cache: ChartCache) -> None:
    with running(Scope(dataset_id=1, database_id=1)):
        cache.get("k")


def allowed() -> list[str]:
    """The commands that the page allows its user."""
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.M)
    return re.findall(r" \+(\S+)", line)


@pytest.mark.parametrize("command", allowed())
def test_a_refused_command_is_named(user_url: str, command: str, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: where an ACL lacks a command, whatever the server refuses is named in the log or by the doctor."""
    admin_url = re.sub("//.*@", "//", user_url)
    with closing(redis.Redis.from_url(admin_url)) as admin:
        admin.execute_command("ACL", "SETUSER", "superset", f"-{command}")
        admin.execute_command("ACL", "LOG", "RESET")
        warn_once._last.clear()
        with caplog.at_level("WARNING"):
            reasons = everything(user_url)
        log: Any = admin.acl_log(128)
        refused = {str(entry["object"]) for entry in log if entry["reason"] == "command"}
    messages = "\n".join([*reasons, *(record.getMessage() for record in caplog.records)])
    for name in refused:
        assert f"'{name}'" in messages.lower(), messages


@pytest.mark.parametrize(
    ("script", "keys", "words"),
    [
        (READ, ["entry", "seen", "stamps"], ["digest"]), (LEFT, ["entry"], ["", ""]),
        (GRANT, ["entry", "seen", "stamps"], ["digest"]),
        (SWAP, ["entry"], ["", "new", "0"]), (FILL, ["entry"], ["new", "0", "0"]),
    ],
    ids=["read", "left", "grant", "swap", "fill"],
)  # fmt: skip
def test_a_refused_entry_is_no_absent_one(
    fresh_valkey: Callable[..., Valkey], script: bytes, keys: list[str], words: list[str]
) -> None:
    """Intent: a script that may not read an entry answers with the refusal; what somebody else has put under its key
    is absent, as ever."""
    with closing(redis.Redis.from_url(fresh_valkey().url)) as client:
        client.rpush("entry", "of somebody else")
        client.evalsha(client.script_load(source(script)), len(keys), *keys, *words)
        client.delete("entry")
        client.execute_command("ACL", "SETUSER", "default", "-getrange")
        with pytest.raises(redis.ResponseError, match=r"(?i)getrange"):
            client.evalsha(script.decode(), len(keys), *keys, *words)


def test_a_role_that_owns_the_schema_alone_can_keep_the_log(postgres: Postgres, database_url: str, role: str) -> None:
    """Intent: where Superset's role may create nothing in its database, one statement is enough."""
    execute(database_url, statements("AUTHORIZATION").replace("superset;", f"{role};"))
    with closing(LogDatabase(as_role(database_url, role))) as log:
        assert log.apply_schema()
        assert apply_views(log)


def test_a_database_for_the_log_alone(postgres: Postgres) -> None:
    """Intent: the two statements make a database that the package can fill."""
    name = f"log_{uuid.uuid4().hex[:8]}"
    execute(postgres.url(), statements("CREATE DATABASE").replace("superset_log", name))
    with closing(LogDatabase(as_role(postgres.url(name), name))) as log:
        assert log.apply_schema()


def test_the_reader_role_reads_the_views_and_nothing_else(postgres: Postgres, database_url: str) -> None:
    """Intent: a role made by the page's statements is granted the views, cannot write, and sees no log table."""
    name = f"reader_{uuid.uuid4().hex[:8]}"
    execute(database_url, statements("CREATE ROLE superset_ext_reader").replace("superset_ext_reader", name))
    url = as_role(database_url, name)
    with closing(LogDatabase(database_url)) as log:
        log.apply_schema()
        apply_views(log)
        assert reader.ensure(log, database_url, given=url) == url
        assert not reader.unreadable(log, url)
    assert execute(url, "SELECT count(*) FROM superset_ext.perf_cache_hour") == [(0,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(url, "SELECT count(*) FROM superset_ext.cache_performance_log")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        execute(url, "CREATE TABLE superset_ext.mine ()")


@pytest.fixture
def warehouse(database_url: str, role: str) -> str:
    """A source whose table is somebody else's."""
    execute(database_url, "CREATE SCHEMA mart; CREATE TABLE mart.orders (n int); CREATE TABLE mart.customers (n int)")
    execute(database_url, f"GRANT USAGE ON SCHEMA mart TO {role}; GRANT SELECT ON mart.orders TO {role}")
    return database_url


def watched(url: str) -> list[str]:
    """Add a watch as `superset perf watch add` does, and what is watched then."""
    with closing(psycopg2.connect(url)) as connection, transaction(connection) as cursor:
        triggers.add(cursor, ["mart.orders"])
        return [str(watch.name) for watch in triggers.state(cursor) if watch.intact]


def test_the_grants_of_the_page_let_the_role_add_watches(warehouse: str, role: str) -> None:
    """Intent: these two grants, and no more, are what `superset perf watch add` needs."""
    grants = statements("GRANT TRIGGER").replace("TO superset", f"TO {role}")
    execute(warehouse, grants.replace("DATABASE warehouse", f"DATABASE {make_url(warehouse).database}"))
    assert watched(as_role(warehouse, role)) == ["mart.orders"]


def test_watches_that_an_administrator_has_added(warehouse: str, role: str) -> None:
    """Intent: a role that may create nothing can be told of what the administrator has installed."""
    (add,) = re.findall(r'psql "\$SOURCE" -c "(.*)"$', PAGE, re.M)
    files = "\n".join(path.read_text() for path in sorted(SQL.glob("0*.sql")))
    with closing(psycopg2.connect(warehouse)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(files)
        cursor.execute(add.replace("'superset'", f"'{role}'"))
    assert watched(as_role(warehouse, role)) == ["mart.orders"]

"""The log in the metadata database is reached as Superset itself reaches that, whatever its engine options say."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.pool import NullPool, StaticPool

from superset_ext.cli.bare import bare_app
from superset_ext.core import log_database
from superset_ext.core.log_database import LogDatabase, log_of
from superset_ext.errors import LogUnavailable, SupersetExtError
from superset_ext.host.metadata import metadata_rows
from superset_ext.package import package
from superset_ext.settings import current, load

REDIS = {"SUPERSET_EXT_REDIS_URL": "redis://cache"}


def without_password(url: str) -> str:
    """A URL by which nobody gets in: no host of that name, and no password."""
    return str(make_url(url).set(host="nowhere.invalid", password=None))


def log(url: str, options: dict[str, Any] | None, **settings: str) -> LogDatabase:
    """The log database of a config with these engine options."""
    config = {"SQLALCHEMY_DATABASE_URI": url, "SQLALCHEMY_ENGINE_OPTIONS": options}
    made = log_of(load({**REDIS, **settings}), config)
    assert made is not None
    return made


def answers(database: LogDatabase) -> str:
    """The name by which the server knows a connection of the log's."""
    with closing(database):
        return str(database.rows("SELECT current_setting('application_name') AS name")[0]["name"])


def test_a_creator_makes_the_log_s_connections(database_url: str) -> None:
    """Intent: where connections are made by a function, as with tokens of a cloud's IAM, the log has them too."""
    calls = []

    def creator() -> Any:
        calls.append(1)
        return psycopg2.connect(database_url, application_name="by the creator")

    assert answers(log(without_password(database_url), {"creator": creator})) == "by the creator"
    assert calls


@pytest.fixture
def token(database_url: str) -> Iterator[None]:
    """A listener for all engines that puts the credentials in, as AWS's documentation shows it."""
    url = make_url(database_url)

    def provide(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters.update(host=url.host or url.query.get("host"), password=url.password)

    event.listen(Engine, "do_connect", provide)
    yield
    event.remove(Engine, "do_connect", provide)


@pytest.mark.usefixtures("token")
def test_a_listener_for_all_engines_is_heard(database_url: str) -> None:
    """Intent: a token that is asked for at each connection reaches the log's as well."""
    assert answers(log(without_password(database_url), None)) == "superset_ext"


def test_connect_args_are_passed_on(database_url: str) -> None:
    """Intent: certificates and the like; ours stay where the config says nothing."""
    assert answers(log(database_url, {"connect_args": {"application_name": "by the config"}})) == "by the config"
    assert answers(log(database_url, {"connect_args": {"sslmode": "prefer"}})) == "superset_ext"


@pytest.mark.parametrize("options", [
    {"poolclass": NullPool}, {"poolclass": StaticPool}, {"pool_size": 40, "max_overflow": 100, "pool_timeout": 1},
    {"pool_pre_ping": False, "pool_recycle": 10, "isolation_level": "READ COMMITTED", "echo": False}, {},
])  # fmt: skip
def test_no_pool_of_superset_s_breaks_ours(database_url: str, options: dict[str, Any]) -> None:
    """Intent: how many connections Superset keeps is its own matter; only «none» is everybody's."""
    database = log(database_url, options)
    assert answers(database) == "superset_ext"
    assert isinstance(database.engine.pool, NullPool) == (options.get("poolclass") is NullPool)


def test_a_pool_that_is_empty_is_no_long_wait(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: whoever finds all connections in use is told so within the time of a statement, not after half a minute,
    and not that the server is away."""
    monkeypatch.setattr(log_database, "STATEMENT_SECONDS", 1.0)
    with closing(log(database_url, None)) as database, ExitStack() as held:
        for _ in range(3):
            held.enter_context(database.engine.connect())
        assert database.engine.pool.timeout() == 1.0
        with pytest.raises(LogUnavailable, match=r"connections to the log database are in use; .*pg_stat_activity$"):
            database.rows("SELECT 1")


def test_a_log_of_its_own_takes_none_of_it(database_url: str) -> None:
    """Intent: the options are the metadata database's."""

    def creator() -> Any:
        raise AssertionError("this is for the metadata database")

    options = {"creator": creator, "connect_args": {"sslmode": "verify-full", "context": ssl.create_default_context()}}
    assert answers(log("sqlite://", options, SUPERSET_EXT_LOG_DATABASE_URL=database_url)) == "superset_ext"


def test_a_creator_that_fails_is_a_log_that_is_away(database_url: str) -> None:
    """Intent: an expired token is the database's fault to us, and no traceback."""

    def creator() -> Any:
        raise psycopg2.OperationalError("the token has expired")

    with pytest.raises(LogUnavailable, match="the token has expired"):
        answers(log(database_url, {"creator": creator}))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A config file that commands without Superset read."""
    file = tmp_path / "superset_config.py"
    monkeypatch.setenv("SUPERSET_CONFIG_PATH", str(file))
    monkeypatch.setenv("SUPERSET_EXT_REDIS_URL", "redis://cache")
    for name in ("SUPERSET_EXT_LOG_DATABASE_URL", "SUPERSET__SQLALCHEMY_DATABASE_URI"):
        monkeypatch.delenv(name, raising=False)
    current.cache_clear()
    yield file
    current.cache_clear()


def test_a_command_without_superset_connects_as_superset_does(config: Path, database_url: str) -> None:
    """Intent: `status` and `recommend` start without Superset, and reach both databases by the config's creator."""
    config.write_text(
        f"import psycopg2\nSQLALCHEMY_DATABASE_URI = {without_password(database_url)!r}\n"
        f"def creator(): return psycopg2.connect({database_url!r}, application_name='by it')\n"
        "SQLALCHEMY_ENGINE_OPTIONS = {'creator': creator}\n"
    )
    app = bare_app()
    assert app is not None
    with app.app_context():
        assert metadata_rows("SELECT current_setting('application_name')") == [("by it",)]
        assert answers(package().log()) == "by it"


def test_a_command_without_superset_uses_the_database_that_superset_uses(
    config: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: Superset puts the environment's URL over the config's; one that is away is a line without a password."""
    config.write_text("SQLALCHEMY_DATABASE_URI = 'postgresql://u:sesame@127.0.0.1:9/x'\n")
    app = bare_app()
    assert app is not None
    with app.app_context(), pytest.raises(SupersetExtError, match="SQLALCHEMY_DATABASE_URI") as away:
        metadata_rows("SELECT 1")
    assert "\n" not in str(away.value) and "sesame" not in str(away.value)
    monkeypatch.setenv("SUPERSET__SQLALCHEMY_DATABASE_URI", database_url)
    app = bare_app()
    assert app is not None
    with app.app_context():
        assert metadata_rows("SELECT 1") == [(1,)]


def test_where_only_superset_knows_its_database_superset_is_started(config: Path) -> None:
    """Intent: a config without a URL leaves it to Superset's own default."""
    config.write_text("ROW_LIMIT = 1\n")
    assert bare_app() is None

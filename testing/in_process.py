"""A Superset in the process of the tests: its app without a server, over servers of its own.

There is one a session, since Superset keeps one app's parts in its modules. Between tests it is asleep: other tests of
the process find neither its environment nor its receivers.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from blinker import Signal

from superset_ext import events
from superset_ext.cache import dependencies
from superset_ext.package import EXTENSION, Package
from superset_ext.settings import read_again
from testing.regions import PATIENT
from testing.stock_app import CeleryApps, celery_apps, set_celery_apps

ADMIN, PASSWORD = "admin", "the password of the admin"
CONFIG = """
SECRET_KEY = "the secret of the tests, long enough for a key"
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
FAB_PASSWORD_HASH_METHOD = "pbkdf2:sha256:1000"  # quick; nobody guesses at these passwords
from superset_ext.config import *
"""
Ones = tuple[Any, Any, CeleryApps]
_SIGNALS = tuple(value for value in vars(events).values() if isinstance(value, Signal))


@dataclass
class InProcess:
    """A Superset app of this process.

    Attributes:
        app: the Flask app.
        url: its metadata database, which is the log database too.
        redis_url: the server of its caches and its broker.
        env: the environment that it has.
        config: its config file.
    """

    app: Any
    url: str
    redis_url: str
    env: Mapping[str, str]
    config: Path
    _receivers: dict[Signal, dict[Any, Any]] = field(default_factory=dict)
    _ones: Ones = (None, None, (None, None))

    @property
    def package(self) -> Package:
        """What is switched on in it."""
        package: Package = self.app.extensions[EXTENSION]
        return package

    def perf(self, *words: str) -> Any:
        """Run `superset perf …`; click's result."""
        return self.app.test_cli_runner().invoke(args=["perf", *words])

    def rows(self, sql: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement on its database; the rows that it returns."""
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def client(self, user: str = ADMIN, password: str = PASSWORD) -> Any:
        """A client with the headers of somebody who has logged in over the API."""
        client = self.app.test_client()
        login = {"username": user, "password": password, "provider": "db"}
        token = client.post("/api/v1/security/login", json=login).json["access_token"]
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client

    @contextmanager
    def awake(self) -> Iterator[InProcess]:
        """Within this the app works. There is no app context: in one, all requests would share what `g` holds."""
        with _environment(self.env):
            self._connect()
            try:
                yield self
            finally:
                self.sleep()

    def _connect(self) -> None:
        for signal, receivers in self._receivers.items():
            for receiver in receivers.values():
                signal.connect(receiver, weak=False)
        self._ones = _swap(self._ones)

    def sleep(self) -> None:
        """Take its receivers away; they are kept for when it wakes."""
        for signal, receivers in self._receivers.items():
            for receiver in receivers.values():
                signal.disconnect(receiver)
        self._ones = _swap(self._ones)


def _ones() -> Ones:
    """What a process has one of: two hooks of the cache, and Celery's apps."""
    return dependencies.follow, dependencies.look_through, celery_apps()


def _swap(ones: Ones) -> Ones:
    """Put these in the place of those that are there; the latter."""
    before = _ones()
    dependencies.follow, dependencies.look_through, celery = ones
    set_celery_apps(celery)
    return before


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """`os.environ` with these variables and no other of Superset's."""
    before = dict(os.environ)
    os.environ.update(env)
    read_again()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        read_again()


def _receivers() -> dict[Signal, dict[Any, Any]]:
    return {signal: dict(signal.receivers) for signal in _SIGNALS}


def start(url: str, redis_url: str, folder: Path) -> InProcess:
    """Make the app, its tables, its permissions and an administrator; the log and the dashboards are installed.

    Nothing is given again, so that a test meets what a cached answer meets; `testing.grants_app` has one with grants.

    Args:
        url: an empty database.
    """
    config = folder / "superset_config.py"
    config.write_text(CONFIG)
    env = {
        "SUPERSET_CONFIG_PATH": str(config), "SUPERSET_HOME": str(folder), "SUPERSET_EXT_REDIS_URL": redis_url,
        "SUPERSET_EXT_DATABASE_URL": url, "SUPERSET_EXT_GRANTS": "off",
        **{f"SUPERSET_EXT_{name}": str(value) for name, value in PATIENT.items()},
    }  # fmt: skip
    before, (follow, look_through, celery) = _receivers(), _ones()
    with _environment(env):
        made = InProcess(_app(), url, redis_url, env, config)
        made._receivers = {
            signal: {key: receiver for key, receiver in now.items() if key not in before[signal]}
            for signal, now in _receivers().items()
        }
        made._ones = (follow, look_through, _without_superset_s(celery))
        with made.app.app_context():
            _furnish()
        upgrade = made.perf("upgrade")
        assert upgrade.exit_code == 0, (upgrade.output, upgrade.exception)
    made.sleep()
    return made


def _without_superset_s(apps: CeleryApps) -> CeleryApps:
    """Others have none where Superset's was there already: its tasks run in the app of the process from now on."""
    from superset.extensions import celery_app

    default, current = (None if app is celery_app else app for app in apps)
    return default, current


def _app() -> Any:
    # Another test of the process may have imported Superset's configuration, in another environment.
    sys.modules.pop("superset_ext.config", None)  # it reads its environment once
    if "superset.config" in sys.modules:
        importlib.reload(sys.modules["superset.config"])
    from superset.app import create_app

    return create_app()


def _furnish() -> None:
    from flask_appbuilder import Model
    from superset.extensions import appbuilder, db, security_manager

    Model.metadata.create_all(db.engine)
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    admin = security_manager.find_role("Admin")
    security_manager.add_user(ADMIN, "Ada", "Min", "admin@example.org", admin, PASSWORD)


def stop(made: InProcess) -> None:
    """End its threads."""
    recorder = made.package.recorder
    if recorder is not None:
        recorder.stop()

"""One stack: its addresses, its secrets, and the environment of Superset's processes in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from superset_ext.embedded.environment import base_environment
from superset_ext.embedded.ports import LOOPBACK
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.state import StateDir
from superset_ext.embedded.valkey import Valkey

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = ROOT / "docker/entrypoint.sh"
ADMIN = "admin"
METADATA, EXAMPLES = "superset", "examples"
_ADMIN_PASSWORD, _SECRET_KEY = "admin.password", "secret.key"
_SECRETS = {_ADMIN_PASSWORD: 9, _SECRET_KEY: 42}  # with their random bytes
# A volatile-* policy evicts only what has a timeout; stamps of invalidations and Celery's queues have none.
VALKEY_OPTIONS = ("--maxmemory", "512mb", "--maxmemory-policy", "volatile-lru", "--loglevel", "warning")


@dataclass(frozen=True)
class Stack:
    """The addresses and secrets of one stack."""

    state: StateDir
    port: int
    postgres: Postgres
    valkey: Valkey

    @classmethod
    def on(cls, state: StateDir, port: int) -> Stack:
        """The stack of a prepared state directory; ports and secrets that it lacks are chosen now and kept.

        Raises:
            StackError: a file of a port or a secret holds something else; nothing was started for nothing.
        """
        stack = cls.at(state, {"web": port, "postgres": state.port("postgres"), "valkey": state.port("valkey")})
        for name, length in _SECRETS.items():
            state.secret(name, length)
        if state.has_data:
            stack.postgres.initialise()  # checks the version of what is there
            _ = stack.postgres.password
        return stack

    @classmethod
    def at(cls, state: StateDir, ports: Mapping[str, int]) -> Stack:
        """The stack of a state directory whose parts listen on these ports."""
        valkey = Valkey(state.valkey, ports["valkey"], VALKEY_OPTIONS, state.secret("valkey.password"))
        return cls(state, ports["web"], Postgres(state.postgres, ports["postgres"]), valkey)

    @property
    def ports(self) -> dict[str, int]:
        """The port of each part that listens, by its name."""
        return {"web": self.port, "postgres": self.postgres.port, "valkey": self.valkey.port}

    @property
    def url(self) -> str:
        """The URL of the web server."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def password(self) -> str:
        """The administrator's password, made at the first start."""
        return self.state.secret(_ADMIN_PASSWORD, _SECRETS[_ADMIN_PASSWORD])

    @property
    def exported(self) -> dict[str, str]:
        """The variables of `make env`. The published queries name the log's tables without their schema."""
        log = f"{self.postgres.url(METADATA)}?options={quote('-csearch_path=superset_ext')}"
        return {
            "SUPERSET_URL": self.url,
            "DATABASE_URL": log,
            "EXAMPLES_URL": self.postgres.url(EXAMPLES),
            "REDIS_URL": self.valkey.url,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment of Superset's processes; what the caller has set overrides the defaults, not the rest."""
        return self._defaults() | base_environment() | self._own()

    def _defaults(self) -> dict[str, str]:
        return {
            # One machine runs everything here, the browser too, and Valkey may wait for its turn on a core.
            "SUPERSET_EXT_READ_TIMEOUT_MS": "250",
            # The examples have no owners.
            "SUPERSET_EXT_WARM_BASE_URL": self.url,
            "SUPERSET_EXT_WARM_EXECUTOR": ADMIN,
            # Jinja in datasets, which Superset leaves off since every author of a dataset could use it; here to try it.
            "SUPERSET_FEATURE_ENABLE_TEMPLATE_PROCESSING": "true",
        }

    def _own(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SUPERSET_CONFIG_PATH": str(ROOT / "superset_config.py"),
            "SUPERSET_HOME": str(self.state.home),
            "SUPERSET_SECRET_KEY": self.state.secret(_SECRET_KEY, _SECRETS[_SECRET_KEY]),
            "SUPERSET_EXT_REDIS_URL": self.valkey.url,
            "SUPERSET_EXT_DATABASE_URL": self.postgres.url(METADATA),
            "SUPERSET__SQLALCHEMY_EXAMPLES_URI": self.postgres.url(EXAMPLES),
            "GUNICORN_CMD_ARGS": "--no-control-socket",  # all gunicorns of a user would share the one in their home
            "SUPERSET_BIND": LOOPBACK,
            "SUPERSET_PORT": str(self.port),
            "SUPERSET_BEAT_SCHEDULE": str(self.state.schedule),
            "SUPERSET_ADMIN_USER": ADMIN,
            "SUPERSET_ADMIN_PASSWORD": self.password,
        }

"""What the parts of a stack are told through their environment, and what `make env` prints."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from superset_ext.embedded.ports import LOOPBACK
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.state import StateDir
from superset_ext.embedded.valkey import Valkey

ROOT = Path(__file__).resolve().parents[2]
ADMIN = "admin"
METADATA, EXAMPLES = "superset", "examples"
# Of the caller's environment these would change what the parts are.
FOREIGN = ("SUPERSET", "FLASK", "GUNICORN", "CELERY", "PYTHON", "PG")
OURS = ("SUPERSET_EXT_", "SUPERSET_FEATURE_")
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
        """The stack of a prepared state directory; what it lacks is chosen now and kept."""
        return cls.at(state, {"web": port, "postgres": state.port("postgres"), "valkey": state.port("valkey")})

    @classmethod
    def at(cls, state: StateDir, ports: Mapping[str, int]) -> Stack:
        """The stack of a state directory whose parts listen on these ports."""
        valkey = Valkey(state.valkey, ports["valkey"], VALKEY_OPTIONS, state.secret("valkey.password"))
        return cls(state, ports["web"], Postgres(state.postgres, ports["postgres"]), valkey)

    @property
    def ports(self) -> dict[str, int]:
        """Where each part that listens does so."""
        return {"web": self.port, "postgres": self.postgres.port, "valkey": self.valkey.port}

    @property
    def url(self) -> str:
        """Where the browser goes."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def password(self) -> str:
        """The administrator's, as it was made at the first start."""
        return self.state.secret("admin.password", 9)

    @property
    def names(self) -> dict[str, str]:
        """What `make env` prints. The published queries name the log's tables without their schema."""
        log = f"{self.postgres.url(METADATA)}?options={quote('-csearch_path=superset_ext')}"
        return {
            "SUPERSET_URL": self.url,
            "DATABASE_URL": log,
            "EXAMPLES_URL": self.postgres.url(EXAMPLES),
            "REDIS_URL": self.valkey.url,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment of Superset's processes."""
        # One machine runs everything here, the browser too, and Valkey may wait for its turn on a core.
        patient = {"SUPERSET_EXT_READ_TIMEOUT_MS": "250"}
        # Jinja in datasets, which Superset leaves off because whoever writes a dataset could use it; here to be tried.
        jinja = {"SUPERSET_FEATURE_ENABLE_TEMPLATE_PROCESSING": "true"}
        # The examples have no owners.
        warming = {"SUPERSET_EXT_WARM_BASE_URL": self.url, "SUPERSET_EXT_WARM_EXECUTOR": ADMIN}
        return (
            patient
            | warming
            | jinja
            | base_environment()
            | {
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "SUPERSET_CONFIG_PATH": str(ROOT / "superset_config.py"),
                "SUPERSET_HOME": str(self.state.home),
                "SUPERSET_SECRET_KEY": self.state.secret("secret.key", 42),
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
        )


def base_environment() -> dict[str, str]:
    """The caller's, without what belongs to another Superset or Python, and with this Python's programs first."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN) or k.startswith(OURS)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def exports(names: Mapping[str, str]) -> str:
    """`export NAME=value`, one a line, safe for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in names.items())

"""What a single value may be: time zones, cron lines, database URLs, tokens, JSON lists.

A check raises `ValueError` with a message that follows the name of the variable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Record(BaseModel):
    """A group of settings: names that it does not know are refused, and it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _database_url(value: str) -> str:
    if "://" not in value:
        raise ValueError("is not a database URL; write it as postgresql://user:password@host/name")
    return _read_as_meant(value)


def _postgresql_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgresql+psycopg2://")):
        raise ValueError("must be a PostgreSQL URL; write it as postgresql://user:password@host/name")
    return _read_as_meant(value)


def _read_as_meant(url: str) -> str:
    """A database URL, unless a part of its password would be taken for its host; none of it is repeated."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(
            "cannot be read; write it as postgresql://user:password@host:5432/name, special characters of the password "
            "as %XX"
        ) from None
    if parts.password is not None and "@" in f"{parts.host}{parts.database}":
        raise ValueError("has a password with an @; write it as %40, and / : # as %2F %3A %23")
    return url


def _cron(value: str) -> str:
    from croniter import croniter  # one of Superset's dependencies; imported only where a line is given

    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError(f"is not a cron line ({value!r}); write five fields, as in '15 3 * * *'")
    return value


def _time_zone(value: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"is not a time zone ({value!r}); write a name such as Europe/Berlin") from None
    return value


def _api_token(value: str) -> str:
    if value and (len(value) < 32 or not value.isascii() or not value.isprintable() or " " in value):
        raise ValueError(
            "is not a token; write at least 32 ASCII characters without a space, as openssl rand -hex 32 prints them"
        )
    return value


def _split_at_spaces(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


def _split_at_commas(value: Any) -> Any:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _parsed_json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"is not JSON ({error}); write a list, as in [{{…}}, {{…}}]") from None


def refuse_duplicates(values: Iterable[str], kind: str) -> None:
    """Raise `ValueError` where two of `values`, names of things of one `kind`, are the same."""
    names = list(values)
    if len(names) != len(set(names)):
        raise ValueError(f"names a {kind} twice; give each a name of its own")


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
PostgresqlUrl = Annotated[str, AfterValidator(_postgresql_url)]
Cron = Annotated[str, AfterValidator(_cron)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
ApiToken = Annotated[str, AfterValidator(_api_token)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_split_at_spaces)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
SPLIT_AT_COMMAS = BeforeValidator(_split_at_commas)
PARSED_JSON = BeforeValidator(_parsed_json)

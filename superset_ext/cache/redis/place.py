"""A Redis URL in parts.

    redis://[user:password@]host[:port]/db                          one server; `rediss` is TLS
    redis+sentinel://[user:password@]host:26379,host:26379/name/db  the primary that the Sentinels name
    redis+cluster://[user:password@]host:port,host:port             a cluster, by its slots

The query takes redis-py's own options (`ssl_ca_certs`, `ssl_cert_reqs`, …) and, for Sentinels,
`sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from redis.connection import parse_url
from redis.exceptions import RedisError

from superset_ext.cache.redis.connection import TimedConnection, TimedSSLConnection
from superset_ext.cache.redis.topology import Address
from superset_ext.errors import SettingsError

_OURS = ("max_connections", "retry_on_timeout", "socket_timeout", "socket_connect_timeout", "timeout")


@dataclass(frozen=True, repr=False)
class Place:
    """A URL in parts; its `repr` shows no credentials.

    Attributes:
        kind: `single`, `sentinel` or `cluster`.
        hosts: host and port of the server, the Sentinels, or some nodes of the cluster.
        service: the name that the Sentinels know the primary by.
        options: for redis-py's connections.
        sentinel_options: for those to the Sentinels.
        shown: the URL without credentials and options.
    """

    kind: str
    hosts: tuple[Address, ...]
    service: str
    options: dict[str, Any]
    sentinel_options: dict[str, Any]
    shown: str

    def __repr__(self) -> str:
        return f"Place({self.shown})"

    @classmethod
    def of(cls, url: str) -> Place:
        """Take a URL apart.

        Raises:
            SettingsError: it is malformed.
        """
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        credentials, _, hosts = parts.netloc.rpartition("@")
        service, db = _path(parts.path, kind)
        default = 26379 if kind == "sentinel" else 6379
        plain = urlunsplit((scheme, f"{credentials}@localhost", f"/{db}", parts.query, ""))
        options = _options(plain, safe_url(url))
        sentinel = {k.removeprefix("sentinel_"): options.pop(k) for k in list(options) if k.startswith("sentinel_")}
        addresses = tuple(_address(host, default) for host in hosts.split(",") if host)
        place = cls(kind or "single", addresses, service, options, sentinel, safe_url(url))
        place.checked()
        return place

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.shown.startswith("rediss")

    def checked(self) -> None:
        """Make a connection, connecting to nothing, so that a misspelt option is said at start.

        Raises:
            SettingsError: an option is unknown.
        """
        kind = TimedSSLConnection if self.tls else TimedConnection
        try:
            kind(**self.options)
        except (TypeError, ValueError, RedisError) as error:
            raise SettingsError(f"{self.shown} has an option that Redis connections do not take: {error}") from None


def safe_url(url: str) -> str:
    """A URL without its credentials and options, for messages."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _path(path: str, kind: str) -> tuple[str, str]:
    names = [name for name in path.split("/") if name]
    if kind == "sentinel":
        return (names[0] if names else "mymaster", names[1] if len(names) > 1 else "0")
    return ("", "0" if kind == "cluster" or not names else names[0])


def _address(text: str, default: int) -> Address:
    parts = urlsplit(f"//{text}")
    try:
        return (parts.hostname or "localhost", parts.port or default)
    except ValueError:
        raise SettingsError(f"a Redis URL has no valid port; write it as host:{default}") from None


def _options(url: str, shown: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise SettingsError(f"{shown} cannot be read: {error}") from None
    dropped = (*_OURS, "connection_class", "host", "port")
    return {name: value for name, value in options.items() if name not in dropped}

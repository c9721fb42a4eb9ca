"""From a Redis URL to the servers behind it.

    redis://[user:password@]host[:port]/db                          one server; `rediss` is TLS
    redis+sentinel://[user:password@]host:26379,host:26379/name/db  the primary that the Sentinels name
    redis+cluster://[user:password@]host:port,host:port             a cluster, by its slots

The query takes redis-py's own options (`ssl_ca_certs`, `ssl_cert_reqs`, …) and, of Sentinels,
`sentinel_username` and `sentinel_password`. Reads always go to a primary: a replica may not have
seen the latest stamp yet, so a connection to one is refused.

The slots of a cluster are read here and not by redis-py's `RedisCluster`, which sleeps, asks all
nodes again and retries within a command, for longer than a user's request may wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from redis.connection import parse_url
from redis.exceptions import RedisError

from superset_ext.cache.redis.circuit import Circuit, circuit
from superset_ext.cache.redis.connection import AnyConnection, TimedConnection, TimedSSLConnection
from superset_ext.cache.redis.node import Answer, Command, Node
from superset_ext.cache.redis.sentinel import Primary, PrimaryNode
from superset_ext.errors import SettingsError

Address = tuple[str, int]
Addressed = tuple[bytes, Command]
_OURS = ("max_connections", "retry_on_timeout", "socket_timeout", "socket_connect_timeout", "timeout")


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a server may take.

    Attributes:
        connect: seconds to connect.
        silence: seconds that a read may last.
        total: seconds for a whole operation, the wait for a connection included.
        retry: whether to ask once more, within `total`, after a read timed out.
        failures: failures in a row after which the circuit opens.
        reset: seconds between two probes of an open circuit.
    """

    connect: float
    silence: float
    total: float
    retry: bool
    failures: int
    reset: float

    def circuit(self, endpoint: str) -> Circuit:
        """The circuit of a server."""
        return circuit(endpoint, self.failures, self.reset)


class Topology(Protocol):
    """The servers behind one URL."""

    clustered: bool

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """Send each command to the server of its key; the answer's run id is that of the last command's server.

        Raises:
            StoreUnavailable: see `Node.ask`.
        """
        ...

    def node(self, key: bytes, deadline: float) -> Node:
        """The server of a key.

        Raises:
            StoreUnavailable: no server of the cluster says whose it is.
        """
        ...

    def primaries(self, deadline: float) -> Sequence[Node]:
        """Every server that holds keys.

        Raises:
            StoreUnavailable: no server of the cluster names them.
        """
        ...


class Single:
    """One server, or the one that the Sentinels name."""

    clustered = False

    def __init__(self, node: Node) -> None:
        self._node = node

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """All commands in one round trip."""
        return self._node.ask([command for _, command in commands], deadline, weigh)

    def node(self, key: bytes, deadline: float) -> Node:
        """The server."""
        return self._node

    def primaries(self, deadline: float) -> Sequence[Node]:
        """The server."""
        return [self._node]


def connect(url: str, size: int, budget: Budget) -> Topology:
    """The topology of a URL. Connects to nothing yet.

    Args:
        url: see this module's docstring.
        size: connections to each server at most.
        budget: see `Budget`.

    Raises:
        SettingsError: the URL is malformed, or has an option that redis-py does not know.
    """
    from superset_ext.cache.redis.cluster import Cluster

    place = Place.of(url)
    if place.kind == "cluster":
        return Cluster(place.hosts, lambda address: _node(place, size, budget, address))
    if place.kind == "sentinel":
        return Single(_sentinel(place, size, budget))
    return Single(_node(place, size, budget, place.hosts[0]))


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
        addresses = tuple(_address(host, default, safe_url(url)) for host in hosts.split(",") if host)
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


def _address(text: str, default: int, shown: str) -> Address:
    parts = urlsplit(f"//{text}")
    try:
        return (parts.hostname or "localhost", parts.port or default)
    except ValueError:
        raise SettingsError(f"{shown} has no valid port in {text!r}; write it as host:{default}") from None


def _options(url: str, shown: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise SettingsError(f"{shown} cannot be read: {error}") from None
    dropped = (*_OURS, "connection_class", "host", "port")
    return {name: value for name, value in options.items() if name not in dropped}


def _maker(place: Place, budget: Budget, address: Callable[[], Address]) -> Callable[[], AnyConnection]:
    kind = TimedSSLConnection if place.tls else TimedConnection
    # Names and versions of the client would cost two more round trips for each connection.
    options = {**place.options, "lib_name": None, "lib_version": None}

    def make() -> AnyConnection:
        host, port = address()
        limits = {"socket_connect_timeout": budget.connect, "socket_timeout": budget.connect}
        connection = kind(host=host, port=port, **limits, **options)
        connection.silence = budget.silence
        return connection

    return make


def _node(place: Place, size: int, budget: Budget, address: Address) -> Node:
    endpoint = "Redis at {}:{}".format(*address)
    return Node(_maker(place, budget, lambda: address), size, budget.circuit(endpoint), budget.retry)


def _sentinel(place: Place, size: int, budget: Budget) -> Node:
    tls = {k: v for k, v in place.options.items() if k.startswith("ssl_")} | ({"ssl": True} if place.tls else {})
    limits = {"socket_connect_timeout": budget.connect, "socket_timeout": budget.connect}
    primary = Primary(place.hosts, place.service, {**limits, **tls, **place.sentinel_options})
    circuit = budget.circuit(f"Redis {place.service!r} of the Sentinels at {place.shown.partition('://')[2]}")
    return PrimaryNode(primary, _maker(place, budget, primary.address), size, circuit, budget.retry)

"""From a Redis URL to the servers behind it.

Reads always go to a primary: a replica may not have seen the latest stamp yet, so a connection to one is refused.

The slots of a cluster are read here and not by redis-py's `RedisCluster`, which sleeps, asks all
nodes again and retries within a command, for longer than a user's request may wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from superset_ext.cache.redis.circuit import Circuit, circuit
from superset_ext.cache.redis.cluster import Cluster
from superset_ext.cache.redis.connection import AnyConnection, TimedConnection, TimedSSLConnection
from superset_ext.cache.redis.node import Node
from superset_ext.cache.redis.place import Place
from superset_ext.cache.redis.sentinel import Primary, PrimaryNode
from superset_ext.cache.redis.topology import Address, Topology


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


def connect(url: str, size: int, budget: Budget) -> Topology:
    """The topology of a URL. Connects to nothing yet.

    Args:
        url: see `place`.
        size: connections to each server at most.
        budget: see `Budget`.

    Raises:
        SettingsError: the URL is malformed, or has an option that redis-py does not know.
    """
    place = Place.of(url)
    if place.kind == "cluster":
        return Cluster(place.hosts, lambda address: _node(place, size, budget, address))
    if place.kind == "sentinel":
        return _sentinel(place, size, budget)
    return _node(place, size, budget, place.hosts[0])


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

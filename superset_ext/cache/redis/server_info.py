"""What a Redis server says of itself, as far as it matters here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def parse_info(text: Any) -> dict[str, str]:
    """The fields of an `INFO` answer.

    Raises:
        RedisError: the server refused to give it.
    """
    if isinstance(text, Exception):
        raise text
    lines = bytes(text).decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server's memory and clients.

    Attributes:
        used_memory: bytes.
        maxmemory: bytes, 0 where it has no limit.
        policy: its `maxmemory-policy`.
        evicted_keys: keys evicted since the server started.
        resident_memory: bytes that the system gave it.
        clients: connections of clients.
        expiring: keys that have a timeout, by the number of their database.
    """

    used_memory: int
    maxmemory: int
    policy: str
    evicted_keys: int
    resident_memory: int = 0
    clients: int = 0
    expiring: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, info: Mapping[str, str]) -> ServerInfo:
        """From the fields of an `INFO` answer, or of its section on memory."""
        names = ("used_memory", "maxmemory", "evicted_keys", "used_memory_rss", "connected_clients")
        used, most, evicted, resident, clients = (int(info.get(name, 0)) for name in names)
        return cls(used, most, info.get("maxmemory_policy", ""), evicted, resident, clients, _expiring(info))

    @classmethod
    def together(cls, infos: Sequence[ServerInfo]) -> ServerInfo:
        """The nodes of a cluster as one server, with the policy of the first."""
        numbers = {number for info in infos for number in info.expiring}
        return cls(
            sum(info.used_memory for info in infos),
            sum(info.maxmemory for info in infos),
            infos[0].policy,
            sum(info.evicted_keys for info in infos),
            sum(info.resident_memory for info in infos),
            sum(info.clients for info in infos),
            {number: sum(info.expiring.get(number, 0) for info in infos) for number in numbers},
        )

    @property
    def fragmentation(self) -> float | None:
        """The memory that the system gave it, over the memory that it uses."""
        return self.resident_memory / self.used_memory if self.resident_memory and self.used_memory else None

    def refuses(self, share: float) -> bool:
        """Whether it is filled above `share` and would refuse writes rather than evict."""
        return self.policy == "noeviction" and 0 < self.maxmemory * share < self.used_memory


def _expiring(info: Mapping[str, str]) -> dict[int, int]:
    """As in `db3:keys=12,expires=10,avg_ttl=0`."""
    expiring = {}
    for name, text in info.items():
        if name.startswith("db") and name[2:].isdigit():
            counts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
            expiring[int(name[2:])] = int(counts.get("expires", 0))
    return expiring

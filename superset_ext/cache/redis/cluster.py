"""A Redis Cluster: which node holds which slot, and what to do when one says that it no longer does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ResponseError

from superset_ext.cache.redis.node import Addressed, Answer, Node
from superset_ext.cache.redis.topology import Address
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.errors import StoreUnavailable

_REDIRECTS = 4  # a slot that moves more often within one operation is not worth a user's wait
_RELEARN = 1.0  # seconds; while nodes fail, the slots are asked for no more often than this


class Cluster:
    """The primaries of a cluster, each with a pool and a circuit of its own.

    `seeds` are asked for the slots until the cluster has named its nodes; `make` makes a node.
    """

    clustered = True

    def __init__(self, seeds: Sequence[Address], make: Callable[[Address], Node]) -> None:
        self._seeds = seeds
        self._make = make
        self._nodes: dict[Address, Node] = {}
        self._owners: dict[int, Address] = {}
        self._doubtful = True
        self._learnt = -_RELEARN
        reset_on_fork(self)

    def reset(self) -> None:
        """Begin with a free lock: another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def ask(self, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        """The commands of each node in one round trip; a redirected command alone."""
        replies: list[Any] = [None] * len(commands)
        run_id = ""
        for address, places in self._grouped(commands, deadline).items():
            answer = self._ask(address, [commands[i] for i in places], deadline, weigh)
            for place, reply in zip(places, answer.replies, strict=True):
                replies[place] = reply
            if places[-1] == len(commands) - 1:
                run_id = answer.run_id
        for place, reply in enumerate(replies):
            if _redirect(reply):
                answer = self._follow(commands[place], reply, deadline)
                replies[place], run_id = answer.replies[0], answer.run_id if place == len(commands) - 1 else run_id
        return Answer(replies, run_id)

    def node(self, key: bytes, deadline: float) -> Node:
        """The primary that holds a key."""
        return self._node(self._owner(key, deadline))

    def primaries(self, deadline: float) -> Sequence[Node]:
        """Every node that holds slots."""
        self._learn(deadline)
        return [self._node(address) for address in sorted(set(self._owners.values()))]

    def _grouped(self, commands: Sequence[Addressed], deadline: float) -> dict[Address, list[int]]:
        groups: dict[Address, list[int]] = {}
        for place, (key, _) in enumerate(commands):
            groups.setdefault(self._owner(key, deadline), []).append(place)
        return groups

    def _ask(self, address: Address, commands: Sequence[Addressed], deadline: float, weigh: bool = False) -> Answer:
        try:
            return self._node(address).ask(commands, deadline, weigh)
        except StoreUnavailable:
            self._doubtful = True  # a replica may have taken its place
            raise

    def _follow(self, command: Addressed, reply: Any, deadline: float) -> Answer:
        """Send one command to where the cluster says, for as long as it says elsewhere."""
        for _ in range(_REDIRECTS):
            kind, slot, where = str(reply).split(" ")[:3]
            host, _, port = where.rpartition(":")
            address = (host or self._owner(command[0], deadline)[0], int(port))
            if kind == "MOVED":
                self._owners[int(slot)] = address
                self._doubtful = True
            asking: list[Addressed] = [(command[0], ("ASKING",))] if kind == "ASK" else []
            answer = self._ask(address, [*asking, command], deadline)
            reply = answer.replies[-1]
            if not _redirect(reply):
                return Answer([reply], answer.run_id)
        raise StoreUnavailable(f"the cluster moves slot {slot} about; wait until its resharding is done")

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        return node if node is not None else self._nodes.setdefault(address, self._make(address))

    def _owner(self, key: bytes, deadline: float) -> Address:
        if self._doubtful and time.monotonic() - self._learnt >= _RELEARN:
            self._learn(deadline)
        owner = self._owners.get(key_slot(key))
        if owner is None:
            raise StoreUnavailable("no node of the cluster holds this slot; see its CLUSTER INFO")
        return owner

    def _learn(self, deadline: float) -> None:
        """Ask for the slots, first those nodes that answer.

        Raises:
            StoreUnavailable: nobody answers, and nobody ever has.
        """
        with self._lock:
            self._learnt = time.monotonic()
            problem: Exception | None = None
            for address in self._candidates():
                try:
                    self._owners = _slots(self._node(address).ask([(b"", ("CLUSTER", "SLOTS"))], deadline), address)
                    self._doubtful = False
                    return
                except StoreUnavailable as error:
                    problem = error
            if not self._owners:
                raise StoreUnavailable(f"no node of the cluster names its slots: {problem}")

    def _candidates(self) -> Iterator[Address]:
        addresses = dict.fromkeys([*set(self._owners.values()), *self._seeds])
        return iter(sorted(addresses, key=lambda a: self._node(a).circuit.state.value != "closed"))


def _redirect(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and str(reply).startswith(("MOVED ", "ASK "))


def _slots(answer: Answer, asked: Address) -> dict[int, Address]:
    """Slot to primary, from `CLUSTER SLOTS`; a node that does not know its own name is the one that was asked.

    Raises:
        StoreUnavailable: the server is no cluster, or knows of no slots.
    """
    reply = answer.replies[0]
    if isinstance(reply, Exception) or not reply:
        raise StoreUnavailable("{}:{} is not part of a working cluster; use redis://".format(*asked))
    return {
        slot: (bytes(primary[0] or b"").decode() or asked[0], int(primary[1]))
        for first, last, primary, *_ in reply
        for slot in range(first, last + 1)
    }

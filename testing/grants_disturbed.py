"""What becomes of a Redis while charts are answered: keys go and come again, all is lost, it dies, another begins."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import redis

from testing.regions import client_of

SECONDS = 300.0  # for a machine that stalls
_STAMPS = "chart_~stamps"


class Disturbed:
    """A Redis that is disturbed.

    Args:
        url: as the app has it.
        chance: chooses.
    """

    def __init__(self, url: str, chance: random.Random) -> None:
        self._redis: Any = client_of(url)  # typed for asynchronous clients too
        self._chance = chance
        self._kept: list[tuple[bytes, bytes]] = []
        self._redis.flushall()

    def evict(self) -> None:
        """An entry or a grant goes."""
        if key := self._key():
            _attempt(self._redis.delete, key)

    def keep(self) -> None:
        """Somebody takes a copy of an entry or a grant."""
        if (key := self._key()) and (data := _attempt(self._redis.get, key)):
            self._kept = [*self._kept[-20:], (key, data)]

    def bring_back(self) -> None:
        """Somebody puts such a copy where it was."""
        if self._kept:
            key, data = self._chance.choice(self._kept)
            _attempt(self._redis.set, key, data, 60)

    def lose(self) -> None:
        """It loses all, its stamps, or one of them."""
        how = self._chance.choice(("all", "stamps", "one"))
        if how == "all":
            _attempt(self._redis.flushall)
        elif how == "stamps":
            _attempt(self._redis.delete, _STAMPS)
        elif stamps := sorted(name for name in _attempt(self._redis.hkeys, _STAMPS) or () if name != b"~"):
            _attempt(self._redis.hdel, _STAMPS, self._chance.choice(stamps))

    def cut_off(self) -> None:
        """Connections are lost."""
        _attempt(self._redis.execute_command, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def kill(self) -> Callable[[], None]:
        """It dies; what begins another in its place, with nothing in it, and waits until that answers."""
        info = self._redis.info("server")
        folder = self._redis.config_get("dir")["dir"]
        own = ["--port", str(info["tcp_port"]), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        command = [info["executable"], info["config_file"], *own]  # /proc has a line that it has written anew
        os.kill(int(info["process_id"]), signal.SIGKILL)
        return lambda: self._begin(command)

    def _begin(self, command: list[str]) -> None:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + SECONDS
        while _attempt(self._redis.ping) is None:
            assert server.poll() is None and time.monotonic() < until, "no other Redis has begun"
            time.sleep(0.01)

    def _key(self) -> bytes | None:
        entries = sorted(key for key in _attempt(self._redis.keys, "chart_*") or () if b"~" not in key)
        return self._chance.choice(entries) if entries else None


def _attempt(verb: Callable[..., Any], *args: Any) -> Any:
    """What a call of Redis returns; `None` where the connection was cut off."""
    try:
        return verb(*args)
    except redis.RedisError:
        return None

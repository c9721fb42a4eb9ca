"""Asks sources in threads: a few at a time, one of each database, so that a slow source keeps nobody else waiting.

A thread cannot be stopped. One that takes too long is given up, and what it finds is discarded. Until it has ended, its
probe is not asked again in this process; nor is its database, if that took no connection. So threads do not pile up
before a source that hangs.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

from superset_ext.freshness.probe.ask import Reply, ask
from superset_ext.settings import Probe

AT_A_TIME = 4
GRACE_SECONDS = 1.0  # in which PostgreSQL itself ends a statement that takes too long


@dataclass(slots=True)
class _Asked:
    """A probe that is being asked, or was given up."""

    probe: Probe
    reply: Reply = field(default_factory=Reply)
    since: float = field(default_factory=time.monotonic)
    thread: threading.Thread | None = None

    def is_alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def interrupt(self) -> None:
        """Make the source end the statement, if its driver can."""
        if self.reply.interrupt is not None:
            with contextlib.suppress(Exception):
                self.reply.interrupt()

    def is_late(self) -> bool:
        return time.monotonic() - self.since > self.probe.timeout + GRACE_SECONDS


_given_up: dict[str, _Asked] = {}  # by this process, by the probe's key


class Threads:
    """The probes that are being asked, each within an app context of its own.

    Args:
        app: Superset.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._under_way: dict[str, _Asked] = {}
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._under_way) >= AT_A_TIME

    def busy(self) -> set[int | str]:
        """The databases that are being asked something."""
        return {asked.probe.database for asked in self._under_way.values()}

    def start(self, probe: Probe) -> Reply | None:
        """Begin to ask. The reply if there is no use in asking; otherwise `None`, and `take` returns it later."""
        if reason := _hangs(probe):
            return Reply(error=reason)
        asked = self._under_way[probe.key] = _Asked(probe)
        asked.thread = threading.Thread(target=self._ask, args=(asked,), name="superset_ext-probe", daemon=True)
        asked.thread.start()
        return None

    def _ask(self, asked: _Asked) -> None:
        try:
            ask(self._app, asked.probe, asked.reply)
        except BaseException as error:
            asked.reply.error = asked.reply.error or type(error).__name__
            raise
        finally:
            self._done.put(asked.probe.key)

    def take(self, seconds: float = 0.1) -> list[tuple[Probe, Reply]]:
        """The probes that have ended or are late by now, with their replies. Waits a moment for the first one."""
        ended = []
        with contextlib.suppress(queue.Empty):
            key = self._done.get(timeout=seconds)
            while True:
                if asked := self._under_way.pop(key, None):
                    ended.append((asked.probe, asked.reply))
                key = self._done.get_nowait()
        return ended + [self._give_up(asked) for asked in list(self._under_way.values()) if asked.is_late()]

    def _give_up(self, asked: _Asked) -> tuple[Probe, Reply]:
        del self._under_way[asked.probe.key]
        _given_up[asked.probe.key] = asked
        asked.interrupt()
        error = f"it took longer than {asked.probe.timeout:g} s{'' if asked.reply.connected else ' to connect'}"
        return asked.probe, replace(asked.reply, answer=None, error=error)


def _hangs(probe: Probe) -> str | None:
    """Why there is no use in asking: a thread that was given up has not come back. `None` if there is use."""
    for key in [key for key, asked in _given_up.items() if not asked.is_alive()]:
        del _given_up[key]
    for asked in _given_up.values():
        asked.interrupt()  # again: the first time, its statement may not have begun
    if probe.key in _given_up:
        return f"it was asked before and has not come back, though it took longer than {probe.timeout:g} s"
    if any(asked.probe.database == probe.database and not asked.reply.connected for asked in _given_up.values()):
        return "its database has not answered another probe's connection"
    return None

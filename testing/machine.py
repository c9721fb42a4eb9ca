"""Processes that read and fill a region as Superset does, step by step, for the state machine of freshness."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

from superset_ext.cache import chart as charts
from superset_ext.cache import query as queries
from superset_ext.cache import stamps
from superset_ext.cache.chart import ChartCache
from superset_ext.cache.query import running
from superset_ext.cache.store import Store
from superset_ext.errors import StoreUnavailable
from superset_ext.events import Scope
from superset_ext.freshness.change import Change, Freshness, SourceTable
from superset_ext.sqltables.table import Table
from testing.regions import chart_region

forking = multiprocessing.get_context("fork")
TABLES = ("a", "b", "c")
READS = {"k1": ("a",), "k2": ("a", "b"), "k3": ("b", "c"), "k4": ("c",)}  # which tables a key's query reads
LIVES = {"long": 60.0, "short": 0.02}  # seconds; what is short is soon in its grace
KNOBS: dict[str, Any] = {"LEASE_SECONDS": 1, "WAIT_SECONDS": 0.05, "GRACE_SECONDS": 60, "CIRCUIT_RESET_SECONDS": 0.05}
_FORGET = """
redis.call('HDEL', KEYS[1], unpack(ARGV))
local era = string.sub(redis.call('HGET', KEYS[1], '~'), 1, 50)
redis.call('HSET', KEYS[1], '~', era .. string.format(' %06d', redis.call('HLEN', KEYS[1])))
"""
_SOURCE = SimpleNamespace(database=SimpleNamespace(db_engine_spec=SimpleNamespace(engine="postgresql")))


@dataclass
class Message:
    """What a worker says: of a session the value it found, that it found none, that it ended, or what it died of."""

    session: int
    kind: str
    value: Any = None


@dataclass
class Worker:
    """A process with a region; sessions are its requests."""

    url: str
    broken: str | None = None
    process: Any = None
    pipe: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.pipe, theirs = forking.Pipe()
        self.process = forking.Process(target=_serve, args=(self.url, theirs, self.broken), daemon=True)
        self.process.start()
        theirs.close()

    def tell(self, session: int, verb: str, *args: Any) -> None:
        self.pipe.send((session, verb, args))

    def hear(self, seconds: float) -> list[Message]:
        """What has been said, waiting for the first so long."""
        messages: list[Message] = []
        try:
            while self.pipe.poll(0 if messages else seconds):
                messages.append(self.pipe.recv())
        except (EOFError, OSError):
            pass
        return messages

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.pipe.close()


def _serve(url: str, pipe: Connection, broken: str | None) -> None:
    cache = chart_region(url, **KNOBS)
    _break(cache, broken)
    lock, sessions = threading.Lock(), dict[int, queue.Queue[Any]]()

    def say(message: Message) -> None:
        with lock:
            pipe.send(message)

    while True:
        try:
            session, verb, args = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        if verb == "change":
            say(Message(session, "changed", _change(cache, *args)))
        elif verb == "begin":
            sessions[session] = queue.Queue()
            threading.Thread(target=_request, args=(cache, session, sessions[session], say, *args), daemon=True).start()
        else:
            sessions[session].put((verb, args))


def _change(cache: ChartCache, table: str) -> bool:
    """Whether it succeeded."""
    freshness = Freshness(lambda: cache, lambda _database, tables: tables, None)
    change = Change("cli", "data_update", tables=(SourceTable(1, Table("public", table)),))
    try:
        freshness.changed(change)
    except StoreUnavailable:
        return False
    return True


def _request(cache: ChartCache, session: int, steps: Any, say: Any, key: str, forced: bool) -> None:
    try:
        _answer(cache, session, steps, say, key, forced)
    except Exception as error:  # noqa: BLE001  (whatever it is, somebody waits for the answer)
        say(Message(session, "error", repr(error)))


def _answer(cache: ChartCache, session: int, steps: Any, say: Any, key: str, forced: bool) -> None:
    with running(Scope(dataset_id=1, database_id=1, forced=forced), _SOURCE):
        entry = cache.get(key)
        if entry is not None:
            say(Message(session, "hit", entry["value"]))
            return
        say(Message(session, "miss"))
        verb, args = steps.get()
        if verb == "fill":
            value, lives = args
            sql = "SELECT * FROM " + ", ".join(f"public.{table}" for table in READS[key])
            cache.set(key, {"query": sql, "value": value}, timeout=LIVES[lives])
        elif verb == "lose":  # as an owner does that died, but its process goes on
            query = queries.current()
            for lease in query.leases.values() if query else ():
                lease.is_over = True
                cache._flights._leases.pop(lease.token, None)
    say(Message(session, "ended"))


def _break(cache: ChartCache, broken: str | None) -> None:
    """Leave out one rule of the protocol."""
    if broken == "as_of":  # an entry is dated when it is stored, not when its read began
        recall = queries.recall

        def late(region: str, key: str) -> queries.Read | None:
            read = recall(region, key)
            clock = cache._store.clock()
            return read and queries.Read(clock.time_us, read.started, clock.run_id, clock.last_stamp)

        queries.recall = late
    elif broken == "stamps":  # an entry that is in its time is not judged by its stamps
        vars(stamps)["fresh"] = lambda _last_stamp, _stamps: True
    elif broken == "fence":  # whoever stores last wins, and a stamp is forgotten with what it stamped
        stamp = vars(charts)["stamp"]

        def forgetful(store: Store, tags: Any) -> Any:
            at = stamp(store, tags)
            store.ask([(b"", ("EVAL", _FORGET, 1, store.names.stamps, *(tag.encode() for tag in tags)))])
            return at

        vars(charts)["stamp"] = forgetful
    elif broken == "era":  # stamps that are lost count as none
        reading = cache._store._reading

        def ageless(words: Any, data: Any, run_id: str, views: int | None = None) -> Any:
            made = reading(words, data, run_id, views)
            return replace(made, run_id=made.run_id and run_id)

        vars(cache._store)["_reading"] = ageless
    elif broken == "clock":  # an entry is judged by the clock
        outdated = vars(charts)["outdated"]

        def timely(envelope: Any, answer: Any) -> Any:
            return outdated(replace(envelope, last_stamp=envelope.as_of_us, as_of_us=0), answer)

        vars(charts)["outdated"] = timely

"""Chooses what is written, changed, lost and asked, and looks whether an answer is older than what had been told.

The oracle knows what was committed, what was told of it, and when; and what Superset without grants and cache answers,
which is asked where nothing is under way. Runs where `testing/grants_site.py` does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psycopg2

from testing.grants_changes import raw_changes
from testing.grants_disturbed import SECONDS, Disturbed
from testing.grants_site import GRACE, READS, TABLES, TIMEOUT, WHO, Site, serve

forking = multiprocessing.get_context("fork")
WORKERS = 3
REVOKED = "p3"  # whose role is taken and given back
_METRIC = 10**9  # a chart shows the version of its metrics times this, and that of its table
# Of a thousand steps; the others ask.
VERBS = {
    "write": 30, "change": 25, "rename": 4, "redefine": 1, "revoke": 4, "evict": 10, "keep": 4, "bring back": 4,
    "forced": 6, "lose": 2, "cut off": 2, "warm": 4, "compare": 6, "kill": 1, "restart": 2, "pause": 1,
}  # fmt: skip
_COUNTED = 200  # steps after which the counts are written down
_REFUSED = (401, 403, 404)


@dataclass
class Asked:
    """A request under way.

    Attributes:
        reads: the tables that its answer shows; of a document none.
        floors: the least version of each thing that it may show.
        began: when it was sent.
    """

    reads: tuple[str, ...]
    name: str
    floors: dict[str, int] = field(default_factory=dict)
    began: float = 0.0


@dataclass
class Worker:
    """A process that answers one request after another."""

    pipe: Connection[Any, Any]
    process: Any
    job: Any = None


@dataclass
class Counts:
    """What a run came to.

    Attributes:
        given: answers that were given again.
        unmodified: those of them that were a 304.
        refused: answers to somebody who may not see it.
        compared: answers that were compared with Superset's without cache.
        wrong: what an answer showed that was older than what had been told, or than its time.
        errors: answers that were none.
    """

    steps: int = 0
    asked: int = 0
    given: int = 0
    unmodified: int = 0
    refused: int = 0
    told: int = 0
    compared: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Machine:
    """The oracle, and who chooses what is done next.

    Args:
        site: what is asked.
        seed: chooses.
        fault: a rule of grants that its workers leave out (see `testing/grants_faults.py`).
    """

    def __init__(self, site: Site, seed: int, fault: str | None = None) -> None:
        self.site, self.seed, self.fault, self.chance, self.counts = site, seed, fault, random.Random(seed), Counts()
        self.versions = Counter[str]()  # what is committed, of tables, of names, of metrics and of rights
        self.floors = Counter[str]()  # of these what was told
        self.replaced: dict[tuple[str, int], float] = {}  # when a version of a table was no more
        self.longest = 0.0  # seconds of a request
        self.etags: dict[tuple[str, str], tuple[str, list[int]]] = {}
        self.redis = Disturbed(site.redis_url, self.chance)
        self.source = psycopg2.connect(site.source_dsn)
        self.metadata = psycopg2.connect(site.world.url)
        self.source.autocommit = True
        self._set_out()
        self.workers = [self._worker() for _ in range(WORKERS)]
        self.verbs: dict[str, Callable[[], None]] = {
            verb: getattr(self, "do_" + verb.replace(" ", "_"), None) or getattr(self.redis, verb.replace(" ", "_"))
            for verb in (*VERBS, "ask") if verb != "kill"
        } | {"kill": self.do_kill}  # fmt: skip

    def _set_out(self) -> None:
        """Versions begin at none."""
        with self.source.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"UPDATE {table} SET v = 0")
        self._rename(0)
        self._redefine(0)
        _, take, give = raw_changes(self.site.world, REVOKED)[1]
        self.rights = (give, take)

    def _worker(self) -> Worker:
        mine, theirs = forking.Pipe()
        process = forking.Process(target=serve, args=(self.site, theirs, self.fault), daemon=True)
        process.start()
        theirs.close()
        return Worker(mine, process)

    def run(self, steps: int, counts: Path | None) -> Counts:
        """Make so many steps, or fewer when something was wrong; `counts` is told of them meanwhile."""
        verbs = [*VERBS, "ask"]
        weights = [*VERBS.values(), 1000 - sum(VERBS.values())]
        while self.counts.steps < steps and not self.counts.wrong and not self.counts.errors:
            verb = self.chance.choices(verbs, weights)[0]
            self.counts.steps += 1
            self.counts.verbs[verb] += 1
            self.verbs[verb]()
            if counts is not None and self.counts.steps % _COUNTED == 0:
                self._write_down(counts)
        self._end()
        if counts is not None:
            self._write_down(counts)
        return self.counts

    def _write_down(self, path: Path) -> None:
        line = {"at": time.strftime("%H:%M:%S"), "seed": self.seed, "fault": self.fault, **vars(self.counts)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _end(self) -> None:
        """Let what is under way end, and give back what was taken."""
        self._quiet()
        if self.versions["rights"] % 2:
            self.do_revoke()
        for worker in self.workers:
            worker.pipe.send(("end", ()))  # closing says nothing: workers that were forked later have it open, too
            worker.process.join(SECONDS)
            worker.pipe.close()
        self.source.close()
        self.metadata.close()

    def _quiet(self) -> None:
        while any(worker.job for worker in self.workers):
            self._hear(SECONDS)

    def do_ask(self, kind: str | None = None) -> None:
        """Somebody asks for a chart, or for a document with what they have of it."""
        who = self.chance.choice(WHO)[0]
        if kind is None and self.chance.random() < 0.2:
            name = self.chance.choice(("board", "charts"))
            etag, _ = self.etags.get((who, name), (None, []))
            wanted = etag if self.chance.random() < 0.5 else None
            self._send("document", (who, name, wanted), Asked((), name), who)
            return
        name = self.chance.choice(tuple(READS))
        how = kind or self.chance.choice(("json", "json", "json", "saved" if who != "guest" else "json"))
        self._send("chart", (who, name, how), Asked(READS[name], name), who)

    def do_forced(self) -> None:
        """Somebody asks for what is at the source."""
        self.do_ask("forced")

    def do_warm(self) -> None:
        """A warm run fills the cache, with what is there or anew."""
        self._send("warm", (self.chance.choice(tuple(READS)), self.chance.random() < 0.5), None, "")

    def do_write(self) -> None:
        """Somebody commits to the source, and nobody says so yet."""
        table = self.chance.choice(TABLES)
        version = self.versions[table] + 1
        with self.source.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET v = %s", (version,))
        self.replaced[table, self.versions[table]] = time.monotonic()
        self.versions[table] = version

    def do_change(self) -> None:
        """Somebody says so."""
        self._tell(self.chance.choice(TABLES))

    def _tell(self, table: str) -> None:
        self._send("change", (table,), (table, self.versions[table]), "")

    def do_rename(self) -> None:
        """The dashboard and its charts are renamed past Superset, which nobody has to say."""
        self._rename(self.versions["name"] + 1)

    def _rename(self, version: int) -> None:
        with self.metadata, self.metadata.cursor() as cursor:
            cursor.execute("UPDATE dashboards SET dashboard_title = %s", (f"board {version}",))
            cursor.execute("UPDATE slices SET slice_name = %s", (f"chart {version}",))
            self.versions["name"] = version  # it may be seen from the commit on
        self.floors["name"] = version

    def do_redefine(self) -> None:
        """What metrics show is written past Superset, as its pages do: the datasets have changed then."""
        self._redefine(self.versions["metric"] + 1)

    def _redefine(self, version: int) -> None:
        text = "max(' || metric_name || ') + "
        with self.metadata, self.metadata.cursor() as cursor:
            cursor.execute(
                f"UPDATE sql_metrics SET expression = '{text}{version * _METRIC}' WHERE metric_name IN ('x', 'y')"
            )
            cursor.execute("UPDATE tables SET changed_on = clock_timestamp()")
        self.versions["metric"] = self.floors["metric"] = version

    def do_revoke(self) -> None:
        """Somebody's role is taken, or given back, past Superset; versions with an odd number have none."""
        version = self.versions["rights"] + 1
        with self.metadata, self.metadata.cursor() as cursor:
            for statement, values in self.rights[version % 2]:
                cursor.execute(statement, values)
        self.versions["rights"] = self.floors["rights"] = version

    def do_compare(self) -> None:
        """Everything is told, and an answer is what Superset says without grants and without a cache."""
        self._quiet()
        for table in TABLES:
            if self.floors[table] < self.versions[table]:
                self._tell(table)
        self._quiet()
        if all(self.floors[table] == self.versions[table] for table in TABLES):
            self._send("compare", (self.chance.choice(WHO)[0], self.chance.choice(tuple(READS))), None, "")
            self._quiet()

    def do_restart(self) -> None:
        """Redis dies, and another begins; charts are answered meanwhile."""
        begin = self.redis.kill()
        for _ in range(self.chance.randrange(6)):
            self.do_ask()
        begin()

    def do_kill(self) -> None:
        """A worker ends in the middle of everything, and another begins."""
        place = self.chance.randrange(WORKERS)
        os.kill(self.workers[place].process.pid, signal.SIGKILL)
        self.workers[place].process.join()
        self.workers[place].pipe.close()
        self.workers[place] = self._worker()

    def do_pause(self) -> None:
        """Time passes, in which entries and grants end."""
        self._hear(self.chance.random() * TIMEOUT)

    def _send(self, verb: str, args: tuple[Any, ...], job: Any, who: str) -> None:
        while not (idle := [worker for worker in self.workers if worker.job is None]):
            self._hear(SECONDS)
        worker = self.chance.choice(idle)
        if isinstance(job, Asked):
            job.floors, job.began = dict(self.floors), time.monotonic()
            self.counts.asked += 1
        worker.job = (verb, args, job, who)
        worker.pipe.send((verb, args))

    def _hear(self, seconds: float) -> None:
        pipes = {worker.pipe: worker for worker in self.workers if worker.job is not None}
        for pipe in wait(list(pipes), seconds):
            worker = pipes[pipe]  # type: ignore[index]
            verb, args, job, who = worker.job
            worker.job = None
            self._heard(verb, args, job, who, worker.pipe.recv())

    def _heard(self, verb: str, args: tuple[Any, ...], job: Any, who: str, answer: dict[str, Any]) -> None:
        status = answer["status"]
        if verb == "change" and status == 200:
            table, version = job
            self.floors[table] = max(self.floors[table], version)
            self.counts.told += 1
        elif verb == "change" and status == 503:
            return  # Redis was away, and whoever says so is told that
        elif verb == "compare" and status == 200:
            self.counts.compared += 1
            self.counts.wrong += [] if answer["same"] else [f"{args}: not Superset's: {answer['words']}"]
        elif isinstance(job, Asked) and status in _REFUSED and who == REVOKED:
            self.counts.refused += 1
            self._as_of_rights(job, 1, args, answer)
        elif status not in (200, 304):
            self.counts.errors.append(f"{verb} {args}: {answer}")
        elif isinstance(job, Asked):
            self.longest = max(self.longest, time.monotonic() - job.began)
            self.counts.given += answer["given"]
            self.counts.unmodified += status == 304
            if who == REVOKED:
                self._as_of_rights(job, 0, args, answer)
            self._look(verb, args, job, who, answer)

    def _as_of_rights(self, job: Asked, remainder: int, args: tuple[Any, ...], answer: dict[str, Any]) -> None:
        """Look whether somebody had this right at some moment of the request."""
        versions = range(job.floors.get("rights", 0), self.versions["rights"] + 1)
        if not any(version % 2 == remainder for version in versions):
            self.counts.wrong.append(f"{args} as of another right than those of {versions}: {answer}")

    def _look(self, verb: str, args: tuple[Any, ...], job: Asked, who: str, answer: dict[str, Any]) -> None:
        if verb == "document":
            _, last = self.etags.get((who, job.name), (None, [-1]))
            if answer["status"] == 304 and args[2] != self.etags[who, job.name][0]:
                return  # what it stood for is not known any more
            shown = answer["shown"] if answer["status"] == 200 else last
            if answer["status"] == 200 and answer["etag"]:
                self.etags[who, job.name] = answer["etag"], shown
            self._at_least("name", shown[0], job, args, answer)
            return
        for table, value in zip(job.reads, answer["shown"], strict=False):
            metric, version = divmod(value, _METRIC)
            self._at_least("metric", metric, job, args, answer)
            self._at_least(table, version, job, args, answer)
            self._in_time(table, version, job, args, answer)

    def _at_least(self, name: str, version: int, job: Asked, args: tuple[Any, ...], answer: dict[str, Any]) -> None:
        if not job.floors.get(name, 0) <= version <= self.versions[name]:
            self.counts.wrong.append(
                f"{args} showed {name} {version}, of {job.floors.get(name, 0)} to {self.versions[name]}: {answer}"
            )

    def _in_time(self, table: str, version: int, job: Asked, args: tuple[Any, ...], answer: dict[str, Any]) -> None:
        """Look whether a version was replaced longer ago than an entry of this chart may live."""
        replaced = self.replaced.get((table, version))
        if job.name == "c" and replaced is not None:
            late = job.began - replaced - TIMEOUT - GRACE - self.longest
            if late > 0:
                self.counts.wrong.append(f"{args} showed {table} {version}, {late:.1f} s after its time: {answer}")


def run(site: Site, seed: int, steps: int, fault: str | None = None) -> dict[str, Any]:
    """What so many steps came to; `GRANTS_COUNTS` names a file that is told of it meanwhile."""
    path = os.environ.get("GRANTS_COUNTS")
    counts = Machine(site, seed, fault).run(steps, Path(path) if path else None)
    return vars(counts) | {"wrong": counts.wrong[:5], "errors": counts.errors[:5]}

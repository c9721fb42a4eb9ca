"""Chooses what is written, changed, lost and asked, and looks whether an answer is older than what had been told.

The oracle knows what was committed, what was told of it, and when; and what Superset without grants and cache answers,
which is asked where nothing is under way. Runs where `testing/grants_site.py` does.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import psycopg2

from testing.grants_changes import raw_changes
from testing.grants_counts import write_down
from testing.grants_disturbed import SECONDS, Disturbed
from testing.grants_oracle import METRIC, REVOKED, Asked, Counts, Oracle
from testing.grants_site import READS, TABLES, TIMEOUT, WHO, Site, serve

forking = multiprocessing.get_context("fork")
WORKERS = 3
# Of a thousand steps; the others ask.
VERBS = {
    "write": 30, "change": 25, "rename": 4, "restyle": 4, "redefine": 1, "revoke": 4, "evict": 10, "keep": 4,
    "bring back": 4, "forced": 6, "lose": 2, "cut off": 2, "warm": 4, "compare": 6, "kill": 1, "restart": 2, "pause": 1,
}  # fmt: skip
# What is done more often where a rule is left out that it would show.
_SHOWN_BY: dict[str | None, dict[str, int]] = {
    "stamps": {"write": 100, "change": 100}, "marks": {"revoke": 60}, "marks of documents": {"rename": 60},
    "ends": {"write": 100, "change": 0, "rename": 0, "redefine": 0, "lose": 0, "restart": 0, "pause": 60},
    "dashboards": {"restyle": 60}, "late marks": {"rename": 50, "lose": 0, "evict": 0},
}  # fmt: skip
_COUNTED = 200  # steps after which the counts are written down
_REFUSED = (401, 403, 404)


@dataclass
class Worker:
    """A process that answers one request after another."""

    pipe: Connection[Any, Any]
    process: Any
    job: Any = None


class Machine:
    """The oracle, and who chooses what is done next.

    Args:
        site: what is asked.
        seed: chooses.
        fault: a rule of grants that its workers leave out (see `testing/grants_faults.py`).
    """

    def __init__(self, site: Site, seed: int, fault: str | None = None) -> None:
        self.site, self.seed, self.fault, self.chance, self.counts = site, seed, fault, random.Random(seed), Counts()
        self.oracle = Oracle(self.counts)
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
        self._restyle(0)
        self._redefine(0)
        _, take, give = raw_changes(self.site.world, REVOKED)[1]
        self.rights = (give, take)

    def _worker(self) -> Worker:
        mine, theirs = forking.Pipe()
        process = forking.Process(target=serve, args=(self.site, theirs, self.fault), daemon=True)
        process.start()
        theirs.close()
        return Worker(mine, process)

    def run(self, steps: int) -> Counts:
        """Make so many steps, or fewer when something was wrong."""
        rates = VERBS | _SHOWN_BY.get(self.fault, {})
        verbs, weights = [*rates, "ask"], [*rates.values(), 1000 - sum(rates.values())]
        while self.counts.steps < steps and not self.counts.wrong and not self.counts.errors:
            verb = self.chance.choices(verbs, weights)[0]
            self.counts.steps += 1
            self.counts.verbs[verb] += 1
            self.verbs[verb]()
            if self.counts.steps % _COUNTED == 0:
                self._write_down()
        self._end()
        self._write_down()
        return self.counts

    def _write_down(self) -> None:
        write_down(seed=self.seed, fault=self.fault, **vars(self.counts))

    def _end(self) -> None:
        """Let what is under way end, and give back what was taken."""
        self._quiet()
        if self.oracle.versions["rights"] % 2:
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
            etag, _ = self.oracle.etags.get((who, name), (None, []))
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
        version = self.oracle.versions[table] + 1
        with self.source.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET v = %s", (version,))
        self.oracle.write(table, version)

    def do_change(self) -> None:
        """Somebody says so."""
        self._tell(self.chance.choice(TABLES))

    def _tell(self, table: str) -> None:
        self._send("change", (table,), (table, self.oracle.versions[table]), "")

    def do_rename(self) -> None:
        """The dashboard and its charts are renamed past Superset, which nobody has to say."""
        self._rename(self.oracle.versions["name"] + 1)

    def _rename(self, version: int) -> None:
        with self.metadata, self.metadata.cursor() as cursor:
            cursor.execute("UPDATE dashboards SET dashboard_title = %s", (f"board {version}",))
            cursor.execute("UPDATE slices SET slice_name = %s", (f"chart {version}",))
        self.oracle.commit("name", version)

    def do_restyle(self) -> None:
        """Contents of the dashboard are written past Superset, as an owner's browser does at each opening."""
        self._restyle(self.oracle.versions["style"] + 1)

    def _restyle(self, version: int) -> None:
        with self.metadata, self.metadata.cursor() as cursor:
            cursor.execute("UPDATE dashboards SET css = %s", (f"/* */ {version}",))
        self.oracle.commit("style", version)

    def do_redefine(self) -> None:
        """What metrics show is written past Superset, as its pages do: the datasets have changed then."""
        self._redefine(self.oracle.versions["metric"] + 1)

    def _redefine(self, version: int) -> None:
        text = "max(' || metric_name || ') + "
        with self.metadata, self.metadata.cursor() as cursor:
            cursor.execute(
                f"UPDATE sql_metrics SET expression = '{text}{version * METRIC}' WHERE metric_name IN ('x', 'y')"
            )
            cursor.execute("UPDATE tables SET changed_on = clock_timestamp()")
        self.oracle.commit("metric", version)

    def do_revoke(self) -> None:
        """Somebody's role is taken, or given back, past Superset; versions with an odd number have none."""
        version = self.oracle.versions["rights"] + 1
        with self.metadata, self.metadata.cursor() as cursor:
            for statement, values in self.rights[version % 2]:
                cursor.execute(statement, values)
        self.oracle.commit("rights", version)

    def do_compare(self) -> None:
        """Everything is told, and an answer is what Superset says without grants and without a cache."""
        self._quiet()
        for table in TABLES:
            if not self.oracle.is_told(table):
                self._tell(table)
        self._quiet()
        if all(map(self.oracle.is_told, TABLES)):
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
        until = time.monotonic() + self.chance.random() * TIMEOUT
        while (left := until - time.monotonic()) > 0:
            self._hear(left)  # which ends with the next answer

    def _send(self, verb: str, args: tuple[Any, ...], job: Any, who: str) -> None:
        while not (idle := [worker for worker in self.workers if worker.job is None]):
            self._hear(SECONDS)
        worker = self.chance.choice(idle)
        if isinstance(job, Asked):
            job.floors, job.began = dict(self.oracle.floors), time.monotonic()
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
            self.oracle.tell(*job)
        elif verb == "change" and status == 503:
            return  # Redis was away, and whoever says so is told that
        elif verb == "compare" and status == 200:
            self.counts.compared += 1
            self.counts.wrong += [] if answer["same"] else [f"{args}: not Superset's: {answer['words']}"]
        elif isinstance(job, Asked) and status in _REFUSED and who == REVOKED:
            self.oracle.refuse(job, args, answer)
        elif status not in (200, 304):
            self.counts.errors.append(f"{verb} {args}: {answer}")
        elif isinstance(job, Asked):
            self.oracle.look(verb, args, job, who, answer)


def run(site: Site, seed: int, steps: int, fault: str | None = None) -> dict[str, Any]:
    """What so many steps came to."""
    counts = Machine(site, seed, fault).run(steps)
    return vars(counts) | {"wrong": counts.wrong[:5], "errors": counts.errors[:5]}

"""What watching a table costs its writers, and how long after a commit the caches are told.

Run with `python -m bench.watch`; it starts a PostgreSQL of its own. Both tables of a pair are written to in turn, by
pgbench with as many clients, while a listener runs in this process: one table has no trigger, the other is watched, or
notifies in every commit, as one would without thinking.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from superset_ext.embedded.postgres import Postgres, binary
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.watch import triggers
from superset_ext.freshness.watch.listener import Listener
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import Name

CLIENTS, THREADS = 48, 2
ROUNDS, ROUND_SECONDS = 10, 6
TABLES, COMMITS = 25, 600
COLD_SECONDS = 1.5
# How pgbench connects and commits: the options of its sessions, and its own.
WAYS = {
    "usual": ("", ()),
    "not waiting for the disk": ("-c synchronous_commit=off", ()),
    "a session a commit": ("", ("--connect",)),
}
_NAIVE = """
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_notify(''naive'', TG_TABLE_NAME); RETURN NULL; END';
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON notifying FOR EACH STATEMENT EXECUTE FUNCTION tell()
"""


@dataclass
class Told:
    """A stamp that only notes when each table was told."""

    last: dict[str, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, tables: Collection[SourceTable], again: bool) -> None:
        now = time.perf_counter()
        with self.changed:
            self.last.update({str(each.table): now for each in tables})
            self.changed.notify_all()

    def after(self, table: str, moment: float) -> float:
        """Milliseconds from a moment to the first stamp that began after it."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.last.get(table, 0.0) > moment, 30):
                raise TimeoutError(f"{table} was not told")
            return (self.last[table] - moment) * 1000


def _run(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def watched(url: str, names: Collection[str], told: Told) -> Iterator[None]:
    """These tables are watched and listened to."""
    with closing(psycopg2.connect(url)) as connection, transaction(connection) as cursor:
        wanted = {1: {Name(*name) for name in triggers.add(cursor, list(names))}}
    listener = Listener(lambda: wanted, lambda _: closing(psycopg2.connect(url)), told)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        for name in names:
            told.after(f"public.{name}", 0.0)
        yield
    finally:
        listener.stop()
        thread.join()


def commits_a_second(url: str, script: Path, way: str) -> float:
    """What pgbench reaches within a round."""
    session, options = WAYS[way]
    done = subprocess.run(
        [binary("pgbench"), "-n", "-c", str(CLIENTS), "-j", str(THREADS), "-T", str(ROUND_SECONDS), "-f", script,
         *options, url],
        env={**os.environ, "PGOPTIONS": session}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(re.findall(r"tps = ([\d.]+)", done.stdout)[0])


def cost(url: str, folder: Path, table: str, way: str, rounds: int) -> dict[str, Any]:
    """Commits a second of a table and of one without triggers, in turn, and the median of their ratios."""
    found: dict[str, list[float]] = {"plain": [], table: []}
    for number in range(rounds):
        for name in sorted(found, reverse=bool(number % 2)):
            script = folder / f"{name}.sql"
            script.write_text(f"INSERT INTO {name} (n, s) VALUES (1, 'what a row may hold');\n")
            found[name].append(commits_a_second(url, script, way))
            _run(url, f"TRUNCATE {name}")
    ratios = [ours / plain for plain, ours in zip(found["plain"], found[table], strict=True)]
    return {
        "way": way, "table": table, "rounds": rounds, "clients": CLIENTS,
        "plain_tps": round(statistics.median(found["plain"])), "tps": round(statistics.median(found[table])),
        "ratio": round(statistics.median(ratios), 3), "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
    }  # fmt: skip


def latencies(url: str) -> dict[str, Any]:
    """Milliseconds until a stamp. Of a commit that notifies, from when its statement is sent; of one that does not,
    since its table is hot, from when it is done."""
    names = [f"late_{number}" for number in range(TABLES)]
    _run(url, "".join(f"CREATE TABLE {name} (n int);" for name in names))
    told, first, silent = Told(), [], []
    with watched(url, names, told), closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for _ in range(-(-COMMITS // TABLES)):
            time.sleep(COLD_SECONDS)
            for name in names:
                began = time.perf_counter()
                cursor.execute(f"INSERT INTO {name} VALUES (1)")
                first.append(told.after(f"public.{name}", began))
            for name in names:
                cursor.execute(f"INSERT INTO {name} VALUES (1)")
                silent.append(told.after(f"public.{name}", time.perf_counter()))
    return {"notifying": _spread(first), "silent": _spread(silent)}


def _spread(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {
        "commits": len(milliseconds), "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1),
        "max_ms": round(max(milliseconds), 1),
    }  # fmt: skip


def run() -> dict[str, Any]:
    """The cost of each way, and the latencies."""
    with tempfile.TemporaryDirectory() as place:
        server = Postgres(Path(place) / "data").start()
        try:
            url = server.create_database("bench")
            for name in ("plain", "watched", "notifying"):
                _run(url, f"CREATE TABLE {name} (id bigserial PRIMARY KEY, n int, s text)")
            _run(url, _NAIVE)
            with watched(url, ["watched"], Told()):
                costs = [cost(url, Path(place), "watched", way, ROUNDS) for way in WAYS]
                costs.append(cost(url, Path(place), "notifying", "usual", 3))
            return {"cost": costs, "latency": latencies(url)}
        finally:
            server.stop()


def main() -> None:
    """Print a table and a line of JSON."""
    found = run()
    print(f"commits a second by {CLIENTS} clients, medians of rounds in turn, {ROUND_SECONDS} s each")
    for row in found["cost"]:
        beside = f"without: {row['plain_tps']:>8}  ratio {row['ratio']:.3f}"
        print(f"{row['way']:<26}{row['table']:<10}{row['tps']:>8}  {beside}")
    for kind, row in found["latency"].items():
        print(f"{kind:<10} commits {row['commits']}: p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms")
    print(json.dumps({"watch": found}))


if __name__ == "__main__":
    main()

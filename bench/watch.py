"""What watching a table costs its writers, and how long after a commit, of rows or of DDL, the caches are told.

Run with `python -m bench.watch`; it starts a PostgreSQL of its own. While a listener runs in this process, pgbench
writes in turn to both tables of a pair, with as many clients. One table has no trigger. The other is watched, or has a
naive trigger, which notifies in every commit. `python -m bench.watch ddl` measures DDL alone: until its stamp, beside a
plain commit's; and what the event triggers cost DDL of tables that nobody watches, in a database with many.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
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
DDL_TABLES, DDL_ROUNDS, DDL_PAUSE_SECONDS = 20, 10, 0.1
MANY_TABLES, DDL_COST_ROUNDS = 2000, 200
# Each a transaction on a watched table `{0}`, which a round drops and makes anew in the end.
DDL = {
    "insert": "INSERT INTO {0} VALUES (1)",
    "swap (dbt)": "CREATE TABLE {0}__new AS SELECT 2 AS n; ALTER TABLE {0} RENAME TO {0}__old;"
    " ALTER TABLE {0}__new RENAME TO {0}; DROP TABLE {0}__old",
    "alter": "ALTER TABLE {0} ADD COLUMN m int DEFAULT 1",
    "drop": "DROP TABLE {0}",
    "create": "CREATE TABLE {0} AS SELECT 3 AS n",
}
# What is timed where no table concerned is watched.
UNWATCHED = ("CREATE TABLE free AS SELECT 1 AS n", "ALTER TABLE free RENAME TO freed", "DROP TABLE freed")
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
class NotedStamps:
    """A stamp that only notes when each table was stamped last."""

    last: dict[str, float] = field(default_factory=dict)
    all: dict[str, list[float]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, tables: Collection[SourceTable], again: bool) -> None:
        now = time.perf_counter()
        with self.changed:
            for table in tables:
                self.last[str(table.table)] = now
                self.all.setdefault(str(table.table), []).append(now)
            self.changed.notify_all()

    def after(self, table: str, moment: float) -> float:
        """Milliseconds from a moment to the first stamp that began after it."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.last.get(table, 0.0) > moment, 30):
                raise TimeoutError(f"{table} was not stamped")
            return (self.last[table] - moment) * 1000

    def first_after(self, table: str, moment: float) -> float:
        """When the first stamp after a moment was, by `time.perf_counter`; earlier ones are forgotten."""
        self.after(table, moment)
        with self.changed:
            later = [stamp for stamp in self.all[table] if stamp > moment]
            self.all[table] = later
            return later[0]


def _run(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def watched(url: str, names: Collection[str], stamps: NotedStamps) -> Iterator[None]:
    """These tables are watched and listened to."""
    with closing(psycopg2.connect(url)) as connection, transaction(connection) as cursor:
        wanted = {1: {Name(*name) for name in triggers.add(cursor, list(names))}}
    listener = Listener(lambda: wanted, lambda _: closing(psycopg2.connect(url)), stamps)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        for name in names:
            stamps.after(f"public.{name}", 0.0)
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
    rates: dict[str, list[float]] = {"plain": [], table: []}
    for number in range(rounds):
        for name in sorted(rates, reverse=bool(number % 2)):
            script = folder / f"{name}.sql"
            script.write_text(f"INSERT INTO {name} (n, s) VALUES (1, 'what a row may hold');\n")
            rates[name].append(commits_a_second(url, script, way))
            _run(url, f"TRUNCATE {name}")
    ratios = [ours / plain for plain, ours in zip(rates["plain"], rates[table], strict=True)]
    return {
        "way": way, "table": table, "rounds": rounds, "clients": CLIENTS,
        "plain_tps": round(statistics.median(rates["plain"])), "tps": round(statistics.median(rates[table])),
        "ratio": round(statistics.median(ratios), 3), "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
    }  # fmt: skip


def latencies(url: str) -> dict[str, Any]:
    """Milliseconds until a stamp. Of a commit that notifies, from when its statement is sent; of one that does not,
    since its table is hot, from when it is done."""
    names = [f"late_{number}" for number in range(TABLES)]
    _run(url, "".join(f"CREATE TABLE {name} (n int);" for name in names))
    stamps, first, silent = NotedStamps(), [], []
    with watched(url, names, stamps), closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for _ in range(-(-COMMITS // TABLES)):
            time.sleep(COLD_SECONDS)
            for name in names:
                began = time.perf_counter()
                cursor.execute(f"INSERT INTO {name} VALUES (1)")
                first.append(stamps.after(f"public.{name}", began))
            for name in names:
                cursor.execute(f"INSERT INTO {name} VALUES (1)")
                silent.append(stamps.after(f"public.{name}", time.perf_counter()))
    return {"notifying": _spread(first), "silent": _spread(silent)}


def ddl_latencies(url: str) -> dict[str, Any]:
    """Milliseconds from the end of a commit of DDL to its stamp, with the ratio to a commit of rows, which is measured
    likewise. Each commit is to a table that has rested; a stamp that precedes the commit's answer counts as 0."""
    names = [f"swapped_{number}" for number in range(DDL_TABLES)]
    _run(url, "".join(f"CREATE TABLE {name} AS SELECT 1 AS n;" for name in names))
    stamps = NotedStamps()
    spans: dict[str, list[float]] = {kind: [] for kind in DDL}
    with watched(url, names, stamps), closing(psycopg2.connect(url)) as connection:
        for _ in range(DDL_ROUNDS):
            for kind, sql in DDL.items():
                time.sleep(COLD_SECONDS)
                for name in names:
                    time.sleep(DDL_PAUSE_SECONDS)
                    spans[kind].append(_until_stamped(connection, sql, name, stamps))
    result: dict[str, Any] = {kind: _spread(values) for kind, values in spans.items()}
    plain = max(result["insert"]["p50_ms"], 0.1)
    return {kind: row | {"ratio": round(row["p50_ms"] / plain, 1)} for kind, row in result.items()}


def _until_stamped(connection: Any, sql: str, name: str, stamps: NotedStamps) -> float:
    began = time.perf_counter()
    connection.cursor().execute(sql.format(name))
    connection.commit()
    committed = time.perf_counter()
    return max(0.0, (stamps.first_after(f"public.{name}", began) - committed) * 1000)


def ddl_cost(url: str) -> dict[str, Any]:
    """Milliseconds that DDL of unwatched tables takes among many watched ones, with our event triggers and without."""
    names = [f"many_{number}" for number in range(MANY_TABLES)]
    _run(url, "".join(f"CREATE TABLE {name} (n int);" for name in names))
    with closing(psycopg2.connect(url)) as connection:
        with transaction(connection) as cursor:
            triggers.add(cursor, names)
        connection.autocommit = True
        _run(url, "ANALYZE")
        spans: dict[str, list[float]] = {"without": [], "with": []}
        for number in range(DDL_COST_ROUNDS):
            for kind in sorted(spans, reverse=bool(number % 2)):
                spans[kind].append(_timed_ddl(connection.cursor(), "ENABLE" if kind == "with" else "DISABLE"))
    without, ours = (statistics.median(spans[kind]) for kind in ("without", "with"))
    return {
        "watched": MANY_TABLES, "statements": len(UNWATCHED), "without_ms": round(without, 2),
        "with_ms": round(ours, 2), "ratio": round(ours / without, 2),
    }  # fmt: skip


def _timed_ddl(cursor: Any, switch: str) -> float:
    for trigger in ("ddl", "drop"):
        cursor.execute(f"ALTER EVENT TRIGGER superset_ext_watch_{trigger} {switch}")
    began = time.perf_counter()
    for sql in UNWATCHED:
        cursor.execute(sql)
    return (time.perf_counter() - began) * 1000


def _spread(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {
        "commits": len(milliseconds), "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1),
        "max_ms": round(max(milliseconds), 1),
    }  # fmt: skip


def run(ddl_alone: bool = False) -> dict[str, Any]:
    """The cost of each way, and the latencies."""
    with tempfile.TemporaryDirectory() as place:
        server = Postgres(Path(place) / "data").start()
        try:
            rows = {} if ddl_alone else _rows(server.create_database("bench"), Path(place))
            ddl = {"latency": ddl_latencies(server.create_database("ddl"))}
            return rows | {"ddl": ddl | {"cost": ddl_cost(server.create_database("many"))}}
        finally:
            server.stop()


def _rows(url: str, place: Path) -> dict[str, Any]:
    for name in ("plain", "watched", "notifying"):
        _run(url, f"CREATE TABLE {name} (id bigserial PRIMARY KEY, n int, s text)")
    _run(url, _NAIVE)
    with watched(url, ["watched"], NotedStamps()):
        costs = [cost(url, place, "watched", way, ROUNDS) for way in WAYS]
        costs.append(cost(url, place, "notifying", "usual", 3))
    return {"cost": costs, "latency": latencies(url)}


def main() -> None:
    """Print a table and a line of JSON."""
    figures = run(ddl_alone="ddl" in sys.argv[1:])
    for row in figures.get("cost", ()):
        plain = f"without: {row['plain_tps']:>8}  ratio {row['ratio']:.3f}"
        print(f"{row['way']:<26}{row['table']:<10}{row['tps']:>8} commits/s by {CLIENTS} clients  {plain}")
    for kind, row in figures.get("latency", {}).items():
        print(f"{kind:<10} commits {row['commits']}: p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms")
    for kind, row in figures["ddl"]["latency"].items():
        print(f"{kind:<10} until its stamp: p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms  ratio {row['ratio']}")
    print("DDL of unwatched tables: {with_ms} ms, {without_ms} without the event triggers, ratio {ratio}".format(
        **figures["ddl"]["cost"]))  # fmt: skip
    print(json.dumps({"watch": figures}))


if __name__ == "__main__":
    main()

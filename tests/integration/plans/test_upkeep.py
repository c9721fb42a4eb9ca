"""Each check of upkeep on a real PostgreSQL that has what it looks for, and none on one that nearly has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2
import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.monitor.samples.activity import _ACTIVITY
from superset_ext.plans.upkeep.check import Action, Finding, Severity
from superset_ext.plans.upkeep.checks import (
    CHECKS,
    cache_hits,
    connections,
    locks,
    long_transactions,
    memory,
    partitions_wanted,
    replication,
    wraparound,
)  # fmt: skip
from superset_ext.plans.upkeep.statements import shown
from testing import hypopg
from testing.counted import count_now
from testing.databases import Databases, postgres_in, quick_folder
from testing.upkeep import examined, fill, session, subjects
from testing.versions import is_since

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of their own: some checks are about all of its databases."""
    with quick_folder(tmp_path_factory.mktemp("upkeep")) as folder, postgres_in(Path(folder) / "upkeep") as server:
        yield server


@pytest.fixture(scope="module")
def source(server: Postgres) -> Iterator[str]:
    with Databases(server).empty() as url:
        fill(url)
        yield url


# What the check finds in the filled source: all of it, so that what nearly has it stands in no other place.
FINDS = (
    ("statistics_missing", ["public.never"]), ("statistics_old", ["public.aged", "public.dead"]),
    ("statistics_skewed", ["public.skewed"]), ("autovacuum_behind", ["public.dead"]),
    ("table_bloat", ["public.bloated"]), ("index_bloat", ["public.sparse_pkey"]),
    ("sequences", ["public.numbered_id_seq"]), ("constraints", ["public.checked: positive"]),
    ("partitions_missing", ["public.ending"]), ("locks", []), ("long_transactions", []), ("connections", []),
    ("wraparound", []), ("replication", []), ("partitions_wanted", []), ("cache_hits", []),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "names"), FINDS)
def test_what_has_it_and_what_nearly_has_it(source: str, kind: str, names: list[str]) -> None:
    """Intent: a check names the tables that have what it looks for, and none of those that nearly have it."""
    result = examined(source, kind)
    assert [finding.subject for finding in result.findings] == names, result
    assert not result.unseen


def test_settings_that_are_unsafe_or_do_not_fit(source: str) -> None:
    """Intent: what is off and must not be is critical; the default for turning disks is named, another value not."""
    by_name = {finding.subject: finding for finding in examined(source, "settings").findings}
    assert by_name["fsync"].severity is Severity.CRITICAL and "autovacuum" not in by_name
    assert by_name["random_page_cost"].command == "ALTER SYSTEM SET random_page_cost = 1.1"
    name = source.rpartition("/")[2].partition("?")[0]
    with session(source) as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET random_page_cost = 1.1")
        try:
            assert "random_page_cost" not in subjects(source, "settings")
        finally:
            cursor.execute(f"ALTER DATABASE {name} RESET random_page_cost")


def test_memory_beside_the_machine(source: str) -> None:
    """Intent: what the server takes is held against the machine where its memory can be read, and fits or does not."""
    with limit(memory, "MOST", 0.0):
        (finding,) = examined(source, "memory").findings
    with limit(memory, "LEAST", 0.0):
        assert not subjects(source, "memory")
    assert finding.numbers["machine"] > finding.numbers["shared_buffers"] > 0


@contextmanager
def limit(module: ModuleType, name: str, value: float) -> Iterator[None]:
    """Lower what makes a state worth a line, so that a test need not make gigabytes or wait an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, value)
        yield


def test_who_waits_for_whom(source: str) -> None:
    """Intent: who waits, for what, and who holds it, with the statements but no value of them."""
    with session(source) as holder, session(source) as waiter, session(source) as look:
        holder.execute("BEGIN; LOCK TABLE never; SELECT 'a secret of the holder'")
        waiter.execute("SELECT pg_backend_pid()")
        (pid,) = waiter.fetchone()
        with asking(waiter, "SELECT count(*) FROM never WHERE id::text <> 'a secret'"):
            look.execute(f"SET statement_timeout = {PATIENCE_MS}")
            waits(look, f"SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {pid} AND waitstart IS NOT NULL)")
            with limit(locks, "LEAST_SECONDS", 3600.0):
                assert not subjects(source, "locks")
            with limit(locks, "LEAST_SECONDS", 0.0):
                (finding,) = examined(source, "locks").findings
            assert sampled(look) > 0
            holder.execute("ROLLBACK")
        assert sampled(look) == 0
    assert finding.subject == f"session {pid}" and "AccessShareLock on public.never" in finding.evidence
    assert "idle in transaction" in finding.evidence and finding.command.startswith("SELECT pg_terminate_backend(")
    assert "secret" not in finding.evidence and "count(*)" in finding.evidence.lower()


def sampled(cursor: Any) -> float:
    """The longest wait for a lock, as samples of the sources have it."""
    cursor.execute(_ACTIVITY)
    return float(cursor.fetchone()[2])


@contextmanager
def asking(cursor: Any, sql: str) -> Iterator[None]:
    """A statement under way in a thread while the block lasts."""
    from threading import Thread

    thread = Thread(target=cursor.execute, args=(sql,))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def waits(cursor: Any, question: str) -> None:
    """Ask until the answer is yes; the server itself waits in between."""
    cursor.execute(question)
    while not cursor.fetchone()[0]:
        cursor.execute("SELECT pg_sleep(0.02)")
        cursor.execute(question)


def test_a_transaction_that_is_left_open(source: str) -> None:
    """Intent: one that waits for its client is named after its time, without its values, and not before."""
    with session(source) as open_one:
        open_one.execute("BEGIN; SELECT 'a secret'")
        assert not subjects(source, "long_transactions")
        with limit(long_transactions, "IDLE_SECONDS", 0.0):
            (finding,) = examined(source, "long_transactions").findings
    assert "idle in a transaction" in finding.evidence and "secret" not in finding.evidence


def test_a_text_that_is_cut_off_keeps_no_value() -> None:
    """Intent: PostgreSQL cuts statements off, also within a value; nothing after the first value is shown then."""
    cut = "SELECT a FROM t WHERE b = 'x' AND c = 'sec"
    assert shown(cut, len(cut) + 1) == "SELECT a FROM t WHERE b = …"
    assert "sec" not in shown(cut.replace("'", "$q$"), len(cut)) and "x" not in shown(cut, 2000)
    assert shown("<insufficient privilege>", 1024) == shown(None, 1024) == ""


def test_connections_near_their_limit(source: str) -> None:
    """Intent: a database with nearly all of its connections in use is named, with how many of them do nothing."""
    name = source.rpartition("/")[2].partition("?")[0]
    with session(source) as cursor, session(source), session(source):
        cursor.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 5")
        try:
            (finding,) = examined(source, "connections").findings
            cursor.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 20")
            assert not subjects(source, "connections")
        finally:
            cursor.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
    assert finding.subject == "this database" and finding.numbers["used"] == 4 and connections.SHARE == 0.8


def test_checkpoints_that_come_too_soon(source: str) -> None:
    """Intent: many checkpoints that were asked for are named; after a reset there are too few to say anything."""
    with session(source) as cursor:
        counters = "checkpointer" if is_since(cursor.connection, 17) else "bgwriter"
        cursor.execute("SELECT pg_stat_reset_shared(%s)", (counters,))
        count_now(cursor)
        assert not subjects(source, "checkpoints")
        for _ in range(25):
            cursor.execute("CHECKPOINT")
        count_now(cursor)
        (finding,) = examined(source, "checkpoints").findings
    assert finding.numbers["requested"] >= 20 and finding.command.startswith("ALTER SYSTEM SET max_wal_size = '2048")


def test_a_large_table_that_grows_with_time(source: str) -> None:
    """Intent: a table in the order of a time is named once it is large; one in no order never is."""
    with limit(partitions_wanted, "LEAST_BYTES", 100_000):
        (finding,) = examined(source, "partitions_wanted").findings
    assert finding.subject == "public.events" and "USING brin (at)" in finding.command


PART = """
DO $$ BEGIN EXECUTE format('CREATE TABLE by_month_%s PARTITION OF by_month FOR VALUES FROM (%L) TO (%L)', {number},
    date_trunc('month', now()) - interval '{start} month', date_trunc('month', now()) - interval '{end} month'); END $$
"""
INTO_THE_NEXT = """
INSERT INTO by_month SELECT date_trunc('month', now()) + interval '1 month' - interval '1 microsecond'
RETURNING tableoid::regclass::text = 'by_month' || to_char(date_trunc('month', now()), '_YYYYMMDD')
"""


def test_the_part_that_comes_next(source: str) -> None:
    """Intent: the statement that is printed makes the next part, as long as the others and in a line with them, until
    there are enough; the one for the oldest detaches it."""
    with session(source) as cursor:
        cursor.execute("CREATE TABLE by_month (at timestamptz) PARTITION BY RANGE (at)")
        for number in range(3):
            cursor.execute(PART.format(number=number, start=3 - number, end=2 - number))
        try:
            finding = of_months(source)
            assert finding is not None
            cursor.execute(finding.command)
            cursor.execute(INTO_THE_NEXT)
            assert cursor.fetchone() == (True,)
            while (more := of_months(source)) is not None:
                cursor.execute(more.command)
            detach = finding.advice.partition("first: ")[2].partition(",")[0]
            assert detach == "ALTER TABLE public.by_month DETACH PARTITION by_month_0 CONCURRENTLY"
            cursor.execute(detach)
        finally:
            cursor.execute("DROP TABLE IF EXISTS by_month, by_month_0")


def of_months(source: str) -> Finding | None:
    """What is missing of the table that is divided by months."""
    findings = examined(source, "partitions_missing").findings
    return next((one for one in findings if one.subject == "public.by_month"), None)


def test_a_slot_that_nobody_reads(source: str) -> None:
    """Intent: what keeps the write-ahead log for nobody is named by how much that is."""
    with session(source) as cursor:
        cursor.execute("SELECT pg_create_physical_replication_slot('left_behind', true)")
        try:
            assert not subjects(source, "replication")
            with limit(replication, "LEAST_BYTES", 0):
                (finding,) = examined(source, "replication").findings
        finally:
            cursor.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    assert finding.severity is Severity.CRITICAL and "left_behind" in finding.command


def test_transaction_ids_that_are_not_frozen(source: str) -> None:
    """Intent: a table past the age at which autovacuum should have come is named; one that has more time is not."""
    with session(source) as holder, session(source) as cursor:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM never")  # so that nothing is frozen
        cursor.execute(
            "CREATE TABLE old (id int) WITH (autovacuum_freeze_max_age = 100000); "
            "CREATE TABLE old_nearly (id int) WITH (autovacuum_freeze_max_age = 130000); CREATE TABLE ids (id int)"
        )
        # Each block that writes takes an id of its own.
        cursor.execute(
            "DO $$ BEGIN FOR n IN 1..111000 LOOP BEGIN INSERT INTO ids VALUES (n); EXCEPTION WHEN division_by_zero "
            "THEN NULL; END; END LOOP; END $$"
        )
        result = examined(source, "wraparound")
        holder.execute("ROLLBACK")
        cursor.execute("DROP TABLE old, old_nearly, ids")
    (finding,) = result.findings
    assert finding.subject == "public.old" and finding.action is Action.VACUUM and wraparound.LATE == 1.1


def test_multixacts_that_are_not_frozen() -> None:
    """Intent: multixacts have an age and a limit of their own; what is a tenth past it is named, less is not."""
    row = {"relation": "public.t", "age": 1.0, "freeze_after": 2e8, "multixact_freeze_after": 4e8}
    ages = {4.39e8: None, 4.41e8: Severity.WARNING, 1.7e9: Severity.CRITICAL}
    for age, severity in ages.items():
        findings = list(wraparound.judge([{**row, "multixact_age": age}]))
        assert [getattr(item, "severity", None) for item in findings] == ([severity] if severity else [])
        assert all("multixacts" in getattr(item, "evidence", "") for item in findings)


def test_multixacts_of_a_real_table(source: str) -> None:
    """Intent: rows that two sessions lock at a time make multixacts, and the table whose limit they pass is named."""
    with session(source) as one, session(source) as other:
        one.execute("CREATE TABLE shared (id int) WITH (autovacuum_multixact_freeze_max_age = 10000)")
        one.execute("INSERT INTO shared VALUES (1)")
        with limit(wraparound, "LATE", 0.0005), limit(wraparound, "_SHOWN", 1000):
            before = subjects(source, "wraparound")
            for _ in range(12):  # each time both hold the row, one more
                one.execute("BEGIN; SELECT FROM shared FOR SHARE")
                other.execute("BEGIN; SELECT FROM shared FOR SHARE")
                one.execute("COMMIT")
                other.execute("COMMIT")
            findings = [item for item in examined(source, "wraparound").findings if item.subject == "public.shared"]
        one.execute("DROP TABLE shared")
    assert any("multixacts" in item.evidence for item in findings), (before, findings)


def test_a_prepared_transaction_that_nobody_ends(prepared: str) -> None:
    """Intent: one that waits for its second phase is named after its time, with how it ends, and not before."""
    with session(prepared) as cursor:
        cursor.execute("CREATE TABLE two (id int); BEGIN; INSERT INTO two VALUES (1); PREPARE TRANSACTION 'left'")
        try:
            assert not subjects(prepared, "long_transactions")
            with limit(long_transactions, "PREPARED_SECONDS", 0.0):
                (finding,) = examined(prepared, "long_transactions").findings
        finally:
            cursor.execute("ROLLBACK PREPARED 'left'")
    assert finding.subject.startswith("prepared by ") and "ROLLBACK PREPARED" in finding.advice


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[str]:
    """A database of a server that takes prepared transactions."""
    with quick_folder(tmp_path) as folder:
        server = Postgres(Path(folder) / "prepared")
        server.initialise()
        with (server.data_dir / "postgresql.conf").open("a") as config:
            config.write("max_prepared_transactions = 5\n")
        server.start()
        try:
            server.wait()
            yield server.url()
        finally:
            server.stop()


def test_every_check_has_a_test() -> None:
    """Intent: nobody adds a check without a state that has it and one that nearly has it."""
    here = Path(__file__).read_text()
    assert all(f'"{check.kind}"' in here for check in CHECKS)


def test_a_role_that_may_see_little(source: str) -> None:
    """Intent: what a role may not see is one line of that check, with the fix, and no other check suffers."""
    with session(source) as admin:
        admin.execute("CREATE ROLE little")
        try:
            with session(source) as other, closing(psycopg2.connect(source, options="-c role=little")) as connection:
                other.execute("SELECT 1")
                result = _as(connection)
        finally:
            admin.execute("DROP ROLE little")
    unseen = {item.kind: item.reason for item in result.unseen}
    assert set(unseen) == {"long_transactions", "sequences", "table_bloat", "index_bloat", "memory"}
    assert "permission denied" in unseen.pop("memory")
    assert all("pg_monitor" in reason and "\n" not in reason for reason in unseen.values())
    assert {"statistics_missing", "autovacuum_behind", "partitions_missing"} <= {item.kind for item in result.findings}


def _as(connection: Any) -> Any:
    from superset_ext.plans.indexes.source import only_reading
    from superset_ext.plans.upkeep.examine import examine

    with only_reading(connection) as cursor:
        return examine(cursor)


def test_a_table_that_is_locked_holds_nothing_up(source: str) -> None:
    """Intent: a table that somebody changes is left out of sizes, and all checks answer."""
    with session(source) as holder:
        holder.execute("BEGIN; LOCK TABLE bloated, sparse, never")
        result = examined(source)
        holder.execute("ROLLBACK")
    assert not result.unseen
    assert "statistics_missing" in {item.kind for item in result.findings}


def test_nothing_is_written(source: str) -> None:
    """Intent: looking changes nothing on the source."""
    with session(source) as cursor:
        before = _state(cursor)
        examined(source)
        assert _state(cursor) == before


def _state(cursor: Any) -> Any:
    cursor.execute(
        "SELECT array_agg(oid ORDER BY oid), (SELECT sum(xact_commit * 0) FROM pg_stat_database) FROM pg_class"
    )
    return cursor.fetchone()


def test_reads_that_miss_the_memory(server: Postgres, source: str) -> None:
    """Intent: a database whose pages mostly are not in shared_buffers is named, and not once most of them are."""
    with session(source) as cursor:
        cursor.execute("SELECT pg_stat_reset()")
    server.stop()
    server.start()  # with an empty memory
    with session(source) as cursor, limit(cache_hits, "LEAST_READS", 1000.0):
        _read(cursor, 1)
        (finding,) = examined(source, "cache_hits").findings
        _read(cursor, 60)
        assert not subjects(source, "cache_hits")
    assert finding.numbers["reads"] > 1000.0


def _read(cursor: Any, times: int) -> None:
    for _ in range(times):
        cursor.execute("SELECT count(*) FROM bloated")
    count_now(cursor)


@pytest.mark.thorough
def test_an_older_postgresql_answers_too(tmp_path: Path) -> None:
    """Intent: all checks can be asked of an older version, and find the same there."""
    if hypopg.binaries() is None:
        pytest.skip(hypopg.MISSING)
    with hypopg.server(tmp_path / "data") as server:
        url = f"{server}/postgres"
        fill(url)
        result = examined(url)
        by_kind = {kind: [item.subject for item in result.findings if item.kind == kind] for kind, _ in FINDS}
    assert not result.unseen
    assert by_kind == {kind: sorted(names) for kind, names in FINDS}


@pytest.mark.thorough
def test_room_is_measured_where_pgstattuple_is(tmp_path: Path) -> None:
    """Intent: what the estimate names is measured where the extension is there and the role may call it, in its own
    schema; where the role may not, the estimate stands."""
    if hypopg.binaries() is None:
        pytest.skip(hypopg.MISSING)
    with hypopg.server(tmp_path / "data") as server:
        url = f"{server}/postgres"
        fill(url)
        with session(url) as cursor:
            cursor.execute("CREATE SCHEMA tools; CREATE EXTENSION pgstattuple SCHEMA tools; CREATE ROLE narrow")
            cursor.execute(
                "GRANT SELECT ON ALL TABLES IN SCHEMA public TO narrow; GRANT USAGE ON SCHEMA tools TO narrow"
            )
        (table,) = examined(url, "table_bloat").findings
        (index,) = examined(url, "index_bloat").findings
        with closing(psycopg2.connect(url, options="-c role=narrow")) as connection:
            rest = [item for item in _as(connection).findings if item.kind in ("table_bloat", "index_bloat")]
    for finding in (table, index):
        numbers = finding.numbers
        assert "Measured by pgstattuple" in finding.evidence
        assert numbers["needed"] * 0.5 < numbers["measured_used"] < numbers["measured_bytes"] * 0.6, finding
    assert len(rest) == 2 and not any("Measured" in item.evidence for item in rest)

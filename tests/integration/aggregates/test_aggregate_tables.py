"""Aggregates as tables of a source: built, kept up, compared and taken away, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg2
import pytest

from superset_ext.aggregates.tables import making, notes, refreshing, renewing
from superset_ext.aggregates.tables.building import build, drop, drop_all, planned
from superset_ext.aggregates.tables.checking import check
from superset_ext.aggregates.tables.definition import checked_name
from superset_ext.aggregates.tables.refreshing import Busy, refresh, refreshed
from superset_ext.aggregates.tables.transaction import transaction
from superset_ext.errors import AggregateError
from testing.aggregate_tables import (
    AS_NEW,
    BY_DAY,
    BY_SHOP,
    SALES,
    built,
    connected,
    defined,
    differences,
    exact_and_differences,
    one,
    run,
)  # fmt: skip
from testing.databases import Databases
from testing.versions import is_since, need
from testing.watches import CATALOG

CHANGES = {
    "insert": "INSERT INTO sales (shop, ts, amount) VALUES ('new', '2024-02-03 04:05', 4)",
    "null keys": "INSERT INTO sales (shop, ts, amount) VALUES (NULL, NULL, 4), (NULL, '2020-01-01', NULL)",
    "late row": "INSERT INTO sales (shop, ts, amount) VALUES ('shop1', '1999-12-31 23:59:59', 4)",
    "update of a measure": "UPDATE sales SET amount = amount + 1 WHERE id = 70",
    "update of keys": "UPDATE sales SET shop = 'moved', ts = ts - interval '3 days' WHERE id IN (71, 72, 500)",
    "key to null": "UPDATE sales SET shop = NULL WHERE id = 73",
    "least and largest deleted": "DELETE FROM sales WHERE amount IN (SELECT max(amount) FROM sales) OR price > 990",
    "a group gone": "DELETE FROM sales WHERE ts < '2024-01-03'",
    "infinite": "INSERT INTO sales (shop, ts, amount) VALUES ('a', 'infinity', 1), ('a', '-infinity', 2)",
    "infinite gone": "DELETE FROM sales WHERE ts = '-infinity'",
    "braces": "INSERT INTO sales (shop, amount) VALUES ('{0}', 1), ('%s \\ '' \" {', 2)",
    "merge": "MERGE INTO sales USING (VALUES (80), (9000)) v (i) ON id = i WHEN MATCHED THEN UPDATE SET amount = 0"
             " WHEN NOT MATCHED THEN INSERT (id, shop) VALUES (i, 'merged')",
    "in one transaction": "BEGIN; DELETE FROM sales WHERE id = 90; INSERT INTO sales (shop) VALUES ('x');"
                          " SAVEPOINT s; DELETE FROM sales; ROLLBACK TO s;"
                          " UPDATE sales SET price = 5 WHERE id = 91; COMMIT",
    "bulk": "INSERT INTO sales (shop, ts, amount) SELECT 's' || i, '2025-01-01', i FROM generate_series(1, 20000) i",
    "truncate": "TRUNCATE sales",
    "after all that": "INSERT INTO sales (shop, ts, amount) VALUES ('first', '2024-01-01', 1)",
}  # fmt: skip


TOTAL = "SELECT SUM(amount) AS a, COUNT(*) AS n FROM sales"


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    """A database for the tests of this file, which each begin with what is new."""
    with databases.empty() as made:
        yield made


@pytest.fixture
def source(url: str) -> Iterator[Any]:
    with connected(url) as connection:
        run(connection, AS_NEW)
        run(connection, SALES)
        yield connection


@pytest.fixture
def other(url: str) -> Iterator[Any]:
    with connected(url) as connection:
        yield connection


@pytest.fixture(params=["in place", "beside"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How groups are changed: one by one, or, as where they are many, in a table beside."""
    monkeypatch.setattr(renewing, "BESIDE_LEAST", 0 if request.param == "beside" else 10**9)
    monkeypatch.setattr(renewing, "BESIDE_SHARE", 0.0)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("sql", [BY_DAY, *(pytest.param(sql, marks=pytest.mark.thorough) for sql in (BY_SHOP, TOTAL))])
def test_every_kind_of_change_is_noted_and_made_good(source: Any, sql: str) -> None:
    """Intent: after each kind of write an aggregate either says that it is not exact, or is; after a refresh it is."""
    definition = built(source, sql)
    assert exact_and_differences(source, definition) == (True, 0)
    for name, change in CHANGES.items():
        if name == "merge" and not is_since(source, 15):
            continue
        run(source, change)
        assert not exact_and_differences(source, definition)[0], name
        done = refresh(source, "agg")
        assert exact_and_differences(source, definition) == (True, 0), (name, done)
    assert refresh(source, "agg").how == "nothing"


def test_few_groups_are_made_anew_and_a_large_share_is_all_of_it(source: Any) -> None:
    """Intent: what was not changed is left alone, and what was changed nearly everywhere is not done bit by bit."""
    built(source, BY_DAY)
    run(source, "UPDATE sales SET amount = 0 WHERE id IN (70, 71)")
    done = refresh(source, "agg")
    assert (done.how, done.groups) == ("groups", 2)
    run(source, "DELETE FROM sales WHERE ts > '2024-01-10' AND amount > 5")
    assert refresh(source, "agg").how == "whole"


NOT_READ = {
    "rows added": "INSERT INTO sales (shop, ts, amount) SELECT shop, ts, amount FROM sales WHERE id < 300",
    "a measure of all rows of a group": "UPDATE sales SET amount = amount - 1 WHERE ts < '2024-01-03'",
    "another column": "UPDATE sales SET day = day + 1 WHERE id % 3 = 0",
    "one row by one": "UPDATE sales SET price = price + 1 WHERE id = 5",
    "all rows of a group gone": "DELETE FROM sales WHERE ts < '2024-01-05'",
    "more values than a condition names": "INSERT INTO sales (shop, ts) SELECT 's' || i, '2024-01-01'"
                                          " FROM generate_series(1, 2000) i",
}  # fmt: skip


def test_what_adds_up_is_not_read_from_the_base(source: Any, way: str) -> None:
    """Intent: counts, sums, and extremes that somebody still has, follow from the notes alone; in the table that is
    there or in another one, which has its columns, readers and indexes."""
    definition = built(source, BY_DAY)
    run(source, f"GRANT SELECT ON {definition.table} TO PUBLIC")
    before, shape = run(source, _WHICH, (definition.table,)), _shape(source, definition.table)
    for name, change in NOT_READ.items():
        run(source, change)
        done = refresh(source, "agg")
        assert (done.how, done.read) == ("groups", 0), (name, done)
        assert exact_and_differences(source, definition) == (True, 0), name
        assert one(source).view.rows == making.counted(source.cursor(), definition)[0], name
    assert (run(source, _WHICH, (definition.table,)) == before) is (way == "in place")
    assert _shape(source, definition.table) == shape


_WHICH = "SELECT to_regclass(%s)::oid"


def _shape(connection: Any, table: str) -> Any:
    """The columns of a table with their types and collations, its indexes, and who may read it."""
    columns = run(connection, "SELECT attname, atttypid, atttypmod, attcollation, attnotnull FROM pg_attribute"
                              " WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum", (table,))  # fmt: skip
    indexes = run(connection, "SELECT indkey::text, indisunique, indisvalid FROM pg_index"
                              " WHERE indrelid = to_regclass(%s) ORDER BY 1", (table,))  # fmt: skip
    return columns, indexes, run(connection, "SELECT relacl::text FROM pg_class WHERE oid = to_regclass(%s)", (table,))


def test_columns_may_be_called_what_the_trigger_calls_its_own(source: Any) -> None:
    """Intent: a name of the base is never taken for one of ours, which would note each change as one of all."""
    run(
        source,
        'CREATE TABLE odd AS SELECT i % 50 AS before, i % 2 AS is_all, i AS "keys" FROM generate_series(1, 500) i',
    )
    definition = built(source, 'SELECT before, is_all, "keys", COUNT(*) AS n FROM odd GROUP BY before, is_all, "keys"')
    for change in ("UPDATE odd SET is_all = 5 WHERE keys = 4", "DELETE FROM odd WHERE before = 7"):
        run(source, change)
        assert refresh(source, "agg").how == "groups"
        assert exact_and_differences(source, definition) == (True, 0)


def test_whoever_writes_cannot_make_the_trigger_call_theirs(source: Any) -> None:
    """Intent: the trigger runs with its owner's rights, whatever the writer has put on the path of names before."""
    built(source, BY_DAY)
    run(source, """
        CREATE SCHEMA trap; CREATE TABLE public.sprung (name text);
        CREATE FUNCTION trap.date_trunc(text, timestamp) RETURNS timestamp LANGUAGE sql AS
            $$INSERT INTO public.sprung VALUES ('date_trunc'); SELECT $2$$;
        CREATE FUNCTION trap.eq(text, text) RETURNS boolean LANGUAGE sql AS
            $$INSERT INTO public.sprung VALUES ('='); SELECT true$$;
        CREATE OPERATOR trap.= (FUNCTION = trap.eq, LEFTARG = text, RIGHTARG = text);
        CREATE FUNCTION trap.cardinality(anyarray) RETURNS int LANGUAGE sql AS
            $$INSERT INTO public.sprung VALUES ('cardinality'); SELECT 1$$;
    """)  # fmt: skip
    run(source, "SET search_path = trap, pg_catalog, public")
    run(source, "INSERT INTO public.sales (shop, ts) VALUES ('a', '2024-01-01'), ('b', '2024-01-02')")
    run(source, "UPDATE public.sales SET amount = 0 WHERE id OPERATOR(pg_catalog.=) 40")
    run(source, "DELETE FROM public.sales WHERE id OPERATOR(pg_catalog.<) 40")
    run(source, "RESET search_path")
    assert run(source, "SELECT * FROM sprung") == []
    assert refresh(source, "agg").how == "groups"


def test_what_is_known_of_its_keys_is_never_too_little(source: Any) -> None:
    """Intent: the numbers of rows and values, on which proofs about ties stand, hold after each refresh."""
    built(source, BY_DAY)
    changes = [f"INSERT INTO sales (shop, ts) VALUES ('n{i}', '2024-03-{i + 1:02}'), (NULL, NULL)" for i in range(5)]
    for change in [*changes, "DELETE FROM sales WHERE shop = 'n1'"]:
        run(source, change)
        assert refresh(source, "agg").how == "groups"
        view = one(source).view
        with source.cursor() as cursor:
            rows, distinct = making.counted(cursor, one(source).definition)
        assert view.rows == rows
        assert all(view.distinct[name] >= number for name, number in distinct.items())
        assert view.distinct["ts_day"] <= distinct["ts_day"] + 1


def test_a_long_transaction_is_in_it_once_it_has_committed(source: Any, other: Any) -> None:
    """Intent: what commits late, after refreshes that could not see it, makes the aggregate inexact in that moment."""
    definition = built(source, BY_SHOP)
    other.autocommit = False
    run(other, "DELETE FROM sales WHERE id < 50")
    run(source, "UPDATE sales SET amount = 7 WHERE id = 400")
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)
    other.commit()
    assert not exact_and_differences(source, definition)[0]
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)


def test_a_snapshot_from_before_a_swap_does_not_trust_the_new_table(source: Any, other: Any) -> None:
    """Intent: a table that was swapped in looks empty to an older snapshot, which is told that it is not exact."""
    definition = built(source, BY_SHOP)
    version = one(source).version
    other.autocommit = False
    run(other, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert run(other, "SELECT superset_ext_aggregates.sure('agg', %s)", (version,)) == [(True,)]
    refresh(source, "agg", whole=True)
    assert exact_and_differences(other, definition)[0] is False
    with pytest.raises(psycopg2.Error) as raised:
        run(other, f"SELECT * FROM {definition.table} WHERE superset_ext_aggregates.sure('agg', {version})")
    assert raised.value.pgcode == "SXA01"


def test_readers_do_not_hold_up_a_refresh_of_all(source: Any, other: Any) -> None:
    """Intent: while somebody reads the table for long, the new rows are put into it, and nobody waits or fails."""
    definition = built(source, BY_SHOP)
    before = one(source)
    other.autocommit = False
    rows = run(other, f"SELECT count(*) FROM {definition.table}")
    run(source, "TRUNCATE sales")
    assert refresh(source, "agg").how == "whole"
    assert exact_and_differences(source, definition) == (True, 0)
    assert run(other, f"SELECT count(*) FROM {definition.table}") == [(0,)] != rows
    assert one(source).version == before.version + 1


def test_types_and_collations_are_the_querys_own(source: Any) -> None:
    """Intent: what is read of an aggregate is of the type, and sorts as, what its query gives."""
    run(source, 'ALTER TABLE sales ALTER shop TYPE varchar(20) COLLATE "C"')
    definition = built(source, "SELECT shop, SUM(price) AS p, MIN(day) AS d, MAX(shop) AS s FROM sales GROUP BY shop")
    run(source, f"CREATE VIEW made AS {definition.select()}")
    columns = "attname, atttypid, atttypmod, attcollation"
    types = f"SELECT {columns} FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    assert run(source, types, (definition.table,)) == run(source, types, ("made",))


def test_what_readers_filter_by_has_an_index(source: Any) -> None:
    """Intent: the keys are unique, NULLs too where the server has that, and what readers filter by leads an index."""
    built(source, BY_DAY, filters=["ts", "shop"])
    indexes = {row[0] for row in run(source, "SELECT indexdef FROM pg_indexes WHERE tablename = 'agg'")}
    keys = "(shop, ts_day)" + " NULLS NOT DISTINCT" * is_since(source, 15)
    assert any("UNIQUE" in text and text.endswith(keys) for text in indexes)
    assert any(text.endswith("(ts_day)") for text in indexes)


def test_what_does_not_add_up_is_read(source: Any) -> None:
    """Intent: a sum without values is NULL and not 0, one without the value that was no number is a number again, and
    one without the value that had most digits has fewer."""
    run(source, "CREATE TABLE odd (k int, whole int, loose numeric)")
    run(source, "INSERT INTO odd VALUES (1, 0, 1), (1, NULL, 2), (1, 5, 1.500), (1, -5, 'NaN')")
    definition = built(source, "SELECT k, SUM(whole) AS w, SUM(loose) AS l FROM odd GROUP BY k")
    for value in ("'NaN'", "1.5", "1"):
        run(source, f"DELETE FROM odd WHERE loose = {value}")
        refresh(source, "agg")
        own = run(source, f"SELECT a::text FROM {definition.table} AS a")
        assert own == run(source, f"SELECT a::text FROM ({definition.select()}) AS a"), value
    assert own == [("(1,1,,2)",)]


def test_notes_are_bounded_where_nobody_takes_them(source: Any, other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: past a bound nothing is noted any more, and the aggregate is not exact; a refresh waits for those who
    wrote without notes, makes all of it anew, and has changes noted again."""
    monkeypatch.setattr(notes, "MOST_BYTES", 8192)
    definition = built(source, BY_DAY)
    for number in range(400):
        run(source, f"INSERT INTO sales (shop, ts, amount) VALUES ('s', '2024-01-01', {number})")
    ((kept,),) = run(source, "SELECT count(*) FROM superset_ext_aggregates.note_agg")
    assert 0 < kept < 300
    other.autocommit = False
    run(other, "DELETE FROM sales WHERE id = 7")
    monkeypatch.setattr(refreshing, "transaction", partial(transaction, lock_seconds=0.05))
    with pytest.raises(AggregateError, match="locked all the time"):
        refresh(source, "agg")
    assert not one(source).is_exact
    other.commit()
    assert refresh(source, "agg").how == "whole"
    assert exact_and_differences(source, definition) == (True, 0)
    run(source, "DELETE FROM sales WHERE id = 8")
    assert not one(source).is_exact
    assert refresh(source, "agg").how == "groups"
    assert exact_and_differences(source, definition) == (True, 0)


def test_a_column_of_another_type_is_not_noted_as_the_old_one(source: Any) -> None:
    """Intent: keys and sums that were whole numbers once are not rounded in notes."""
    definition = built(source, "SELECT amount, SUM(id) AS s FROM sales GROUP BY amount")
    run(source, "ALTER TABLE sales ALTER amount TYPE numeric, ALTER id TYPE numeric")
    refresh(source, "agg")
    run(source, "INSERT INTO sales (id, amount) VALUES (1.5, 2.5)")
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)


def test_a_column_that_is_retyped_while_triggers_are_made_is_not_noted_as_the_old_one(
    source: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a column gets another type after the notes were made anew for one that it had before, and before the rows
    are read: the aggregate is not exact until notes have its type, and nothing is rounded."""
    definition = built(source, BY_DAY)
    mend = refreshing._mend

    def retyped(*args: Any) -> Any:
        mended = mend(*args)
        run(other, "ALTER TABLE sales ALTER amount TYPE numeric(12, 2)")
        return mended

    run(other, "ALTER TABLE sales ALTER amount TYPE bigint")
    with monkeypatch.context() as patch:
        patch.setattr(refreshing, "_mend", retyped)
        refresh(source, "agg")
    assert not one(source).is_exact
    refresh(source, "agg")
    run(other, "INSERT INTO sales (shop, ts, amount) VALUES ('shop1', '2024-01-01', 0.75)")
    assert refresh(source, "agg").how == "groups"
    assert exact_and_differences(source, definition) == (True, 0)


def test_a_snapshot_from_before_notes_were_emptied_does_not_take_them_for_none(source: Any, other: Any) -> None:
    """Intent: who still sees the aggregate as it was before is not misled by notes that were emptied after that."""
    definition = built(source, BY_SHOP)
    run(source, "DELETE FROM sales WHERE id = 7")
    other.autocommit = False
    run(other, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    run(other, "SELECT 1 FROM sales LIMIT 1")
    run(source, "SELECT superset_ext_aggregates.mute('agg')")
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)
    assert exact_and_differences(other, definition)[0] is False


def test_a_trigger_that_would_note_twice_is_noticed(source: Any) -> None:
    """Intent: nothing is exact while changes are counted twice, and what to do is said."""
    built(source, BY_SHOP)
    run(source, "ALTER TRIGGER superset_ext_aggregates_agg_i ON sales RENAME TO mine")
    assert not one(source).is_exact
    with pytest.raises(AggregateError, match=r"DROP TRIGGER mine ON public\.sales"):
        refresh(source, "agg")


PARTS = """
CREATE TABLE parts (k int, ts timestamp, amount int) PARTITION BY RANGE (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
CREATE TABLE loose (k int, ts timestamp, amount int);
INSERT INTO loose SELECT 20 + i % 10, '2024-01-01', i FROM generate_series(1, 30) i;
INSERT INTO parts SELECT i % 20, timestamp '2024-01-01' + i * interval '1 day', i FROM generate_series(1, 200) i
"""


def test_parts_that_come_and_go_are_followed(source: Any) -> None:
    """Intent: rows that move, and parts that are attached, written to by name, detached and dropped, all count."""
    run(source, PARTS)
    definition = built(source, "SELECT k, SUM(amount) AS a, MIN(amount) AS m FROM parts GROUP BY k")
    for change in (
        "UPDATE parts SET k = 15 WHERE k = 5",
        "DELETE FROM parts_1 WHERE k = 3",
        "INSERT INTO parts_2 VALUES (11, NULL, 5)",
        "ALTER TABLE parts ATTACH PARTITION loose FOR VALUES FROM (20) TO (30)",
        "INSERT INTO loose VALUES (21, NULL, 5)",
        "TRUNCATE parts_2",
        "ALTER TABLE parts DETACH PARTITION parts_1",
        "CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (30) TO (40)",
        "INSERT INTO parts_3 VALUES (31, NULL, 5)",
        "DROP TABLE loose",
        "TRUNCATE parts",
    ):
        run(source, change)
        assert exact_and_differences(source, definition)[0] is False, change
        refresh(source, "agg")
        assert exact_and_differences(source, definition) == (True, 0), change


def test_a_part_that_is_attached_while_triggers_are_made_is_not_overlooked(
    source: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: what is attached after the triggers were made, and before the rows are read, has none: that is not called
    exact, since what is written to it by its own name would leave no note. Random steps have found it."""
    run(source, PARTS)
    definition = built(source, "SELECT k, SUM(amount) AS a FROM parts GROUP BY k")
    run(source, "CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (30) TO (40)")

    def late(*arguments: Any) -> Any:
        run(other, "ALTER TABLE parts ATTACH PARTITION loose FOR VALUES FROM (20) TO (30)")
        return refreshed(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(refreshing, "refreshed", late)
        refresh(source, "agg")
    run(source, "INSERT INTO loose VALUES (21, NULL, 5)")
    assert not exact_and_differences(source, definition)[0]
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)


def test_a_table_that_is_a_part_hears_what_its_parent_is_told(source: Any) -> None:
    """Intent: whoever writes through the parent changes the part, and is heard."""
    run(source, PARTS)
    definition = built(source, "SELECT k, SUM(amount) AS a FROM parts_1 GROUP BY k")
    run(source, "DELETE FROM parts WHERE k = 3")
    assert not exact_and_differences(source, definition)[0]
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)


def test_a_table_that_is_swapped_by_name_is_followed(source: Any) -> None:
    """Intent: tools that make a table beside and rename it, as dbt does, leave the aggregate inexact until a refresh,
    which watches the new one."""
    definition = built(source, BY_SHOP)
    run(source, "CREATE TABLE sales_new AS SELECT * FROM sales WHERE id % 2 = 0")
    run(source, "BEGIN; ALTER TABLE sales RENAME TO sales_old; ALTER TABLE sales_new RENAME TO sales; COMMIT")
    assert not exact_and_differences(source, definition)[0]
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)
    run(source, "DELETE FROM sales WHERE shop = 'shop1'")
    assert not exact_and_differences(source, definition)[0]
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)


def test_writers_go_on_when_a_column_is_renamed_retyped_or_gone(source: Any) -> None:
    """Intent: the trigger never fails a writer, and the aggregate is off with a reason where its query fails."""
    built(source, BY_SHOP)
    run(source, "ALTER TABLE sales ALTER amount TYPE bigint")
    run(source, "INSERT INTO sales (shop, amount) VALUES ('a', 1)")
    refresh(source, "agg")
    assert one(source).view.by_measure and one(source).is_exact
    run(source, "ALTER TABLE sales RENAME shop TO store")
    run(source, "INSERT INTO sales (store) VALUES ('a')")
    run(source, "UPDATE sales SET store = 'b' WHERE id = 1")
    run(source, "DELETE FROM sales WHERE id = 2")
    assert not one(source).is_exact
    with pytest.raises(AggregateError, match='column "shop" does not exist'):
        refresh(source, "agg")
    assert (one(source).state, one(source).reason) == ("off", 'column "shop" does not exist')


def test_a_base_that_is_gone_is_not_answered_for_and_may_come_back(source: Any) -> None:
    """Intent: between a DROP and a CREATE of the same name, no aggregate stands in for what is not there."""
    definition = built(source, BY_SHOP)
    run(source, "CREATE TABLE copy AS SELECT * FROM sales WHERE id > 500; DROP TABLE sales")
    assert not one(source).is_exact
    with pytest.raises(AggregateError, match="there is no table"):
        refresh(source, "agg")
    assert "there is no table" in one(source).reason
    run(source, "ALTER TABLE copy RENAME TO sales")
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)
    assert one(source).reason == ""


def test_a_trigger_that_was_switched_off_is_noticed(source: Any) -> None:
    """Intent: what is written past the triggers is not called exact."""
    definition = built(source, BY_SHOP)
    run(source, "ALTER TABLE sales DISABLE TRIGGER ALL")
    run(source, "DELETE FROM sales WHERE id < 100")
    assert not exact_and_differences(source, definition)[0]
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)
    run(source, "DELETE FROM sales WHERE id < 200")
    assert not exact_and_differences(source, definition)[0]


def test_row_security_that_comes_later_switches_it_off(source: Any) -> None:
    """Intent: once rows are hidden from some, nobody is answered from a table that has all of them."""
    built(source, BY_SHOP)
    run(source, "ALTER TABLE sales ENABLE ROW LEVEL SECURITY")
    assert not one(source).is_exact
    with pytest.raises(AggregateError, match="row security"):
        refresh(source, "agg")
    assert one(source).state == "off"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        ("ALTER TABLE sales ENABLE ROW LEVEL SECURITY", "row security"),
        ("ALTER TABLE sales SET UNLOGGED", "not logged"),
        ("ALTER TABLE sales RENAME TO s; CREATE VIEW sales AS SELECT * FROM s", "is no table"),
        ("ALTER TABLE sales RENAME TO s; CREATE TABLE sales (LIKE s) PARTITION BY LIST (shop); CREATE FOREIGN DATA"
         " WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE part PARTITION OF sales DEFAULT"
         " SERVER far", "foreign table"),
    ],
)  # fmt: skip
def test_what_cannot_be_noted_is_refused_in_one_line(source: Any, prepare: str, reason: str) -> None:
    """Intent: a base whose changes fire no trigger, or whose rows depend on who asks, is refused; nothing is made."""
    run(source, prepare)
    before = run(source, CATALOG)
    with pytest.raises(AggregateError, match=reason) as raised:
        build(source, defined(source, BY_SHOP))
    assert "\n" not in str(raised.value)
    drop_all(source)
    assert run(source, CATALOG) == before


def test_a_column_that_triggers_see_as_null_is_refused(source: Any) -> None:
    """Intent: a virtual generated column, which has no value in a trigger's rows, is no key and no measure of notes."""
    need(source, 18, "virtual generated columns")
    run(source, "ALTER TABLE sales ADD twice int GENERATED ALWAYS AS (amount * 2) VIRTUAL")
    with pytest.raises(AggregateError, match="twice is a virtual generated column"):
        build(source, defined(source, "SELECT twice, COUNT(*) AS n FROM sales GROUP BY twice"))
    built(source, BY_SHOP)


def test_a_role_without_rights_is_told_what_it_lacks(source: Any, url: str) -> None:
    """Intent: each right that is missing is named as the statement that gives it; with all of them it can be built."""
    run(source, "DROP ROLE IF EXISTS agg_reader")
    run(source, "CREATE ROLE agg_reader LOGIN")
    try:
        definition = defined(source, BY_SHOP)
        with connected(url, options="-c role=agg_reader") as reader:
            for _ in range(3):
                with pytest.raises(AggregateError, match="let ") as raised:
                    build(reader, definition)
                run(source, str(raised.value).partition("run: ")[2])
                if "CREATE" in str(raised.value):
                    assert not run(source, "SELECT FROM pg_trigger")
            build(reader, definition)
            run(source, "DELETE FROM sales WHERE id < 10")
            refresh(reader, "agg")
            assert exact_and_differences(reader, one(reader).definition) == (True, 0)
            drop(reader, "agg")
    finally:
        run(source, "DROP OWNED BY agg_reader CASCADE; DROP ROLE agg_reader")


@pytest.mark.parametrize("last", ["SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1/0"])
def test_a_build_that_is_broken_off_leaves_nothing_half(
    source: Any, url: str, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Intent: a build that dies before its end leaves no table, and the next run takes the rest away."""
    definition, statements = defined(source, BY_SHOP), making.statements
    with monkeypatch.context() as patch, connected(url) as dying:
        patch.setattr(making, "statements", lambda *arguments: [*statements(*arguments), last])
        with pytest.raises(AggregateError):
            build(dying, definition)
    left = run(source, "SELECT relname FROM pg_class WHERE relname IN ('agg', 'new_agg')")
    assert left == []
    run(source, "DELETE FROM sales WHERE id < 100")
    other = built(source, BY_DAY, "other")
    assert [row[0] for row in run(source, "SELECT name FROM superset_ext_aggregates.state()")] == ["other"]
    assert not run(source, "SELECT FROM pg_trigger WHERE tgname LIKE 'superset_ext_aggregates_agg%'")
    assert exact_and_differences(source, other) == (True, 0)


def test_a_refresh_that_is_killed_changes_nothing(
    source: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Intent: what a refresh had taken is there again for the next one."""
    definition, counted = built(source, BY_SHOP), making.counted
    run(source, "TRUNCATE sales")

    def die(cursor: Any, *arguments: Any) -> Any:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return counted(cursor, *arguments)

    with monkeypatch.context() as patch, connected(url) as dying:
        patch.setattr(making, "counted", die)
        with pytest.raises(AggregateError, match="lost"):
            refresh(dying, "agg")
    assert exact_and_differences(source, definition)[0] is False
    refresh(source, "agg")
    assert exact_and_differences(source, definition) == (True, 0)


def test_two_runs_do_not_refresh_the_same_aggregate(source: Any, other: Any) -> None:
    """Intent: one works, and the other one is told so at once."""
    built(source, BY_SHOP)
    run(other, "SELECT pg_advisory_lock(hashtextextended('superset_ext_aggregates.agg', 0))")
    with pytest.raises(Busy):
        refresh(source, "agg")
    assert one(source).state == "ready"


def test_a_check_finds_a_wrong_row_and_switches_the_aggregate_off(source: Any) -> None:
    """Intent: all of an aggregate is compared with its base; one wrong number, and nobody reads it any more."""
    definition = built(source, BY_SHOP)
    run(source, "DELETE FROM sales WHERE id < 100")
    assert check(source, "agg").differences == 0
    assert one(source).checked_at is not None
    run(source, f"UPDATE {definition.table} SET sum_amount = sum_amount + 1 WHERE shop = 'shop1'")
    assert differences(source, definition) == 2
    assert check(source, "agg").differences == 2
    assert (one(source).state, one(source).is_exact) == ("off", False)
    assert "2 rows differed" in one(source).reason


def test_by_schedule_all_of_a_query_is_made_anew(source: Any) -> None:
    """Intent: an aggregate of a virtual dataset is never called exact, and says as of when it is."""
    sql = "SELECT shop, SUM(amount) AS a FROM (SELECT * FROM sales WHERE amount > 3) AS virtual_table GROUP BY shop"
    definition = built(source, sql, upkeep="schedule")
    before = one(source).as_of
    run(source, "DELETE FROM sales WHERE id < 100")
    assert differences(source, definition) > 0
    assert refresh(source, "agg").how == "whole"
    assert differences(source, definition) == 0
    after = one(source)
    assert not after.is_exact
    assert before is not None
    assert after.as_of is not None
    assert after.as_of > before


def test_by_the_tail_only_the_end_of_time_is_read_again(source: Any) -> None:
    """Intent: what is declared to grow at its end is read there alone, late rows as far as declared; a check finds a
    row that came later than that."""
    definition = built(source, BY_DAY, upkeep="tail", tail="ts_day", late_seconds=2 * 86400)
    run(source, "INSERT INTO sales (shop, ts, amount) SELECT 'late', max(ts) - interval '1 day', 4 FROM sales")
    run(source, "INSERT INTO sales (shop, ts, amount) SELECT 'new', max(ts) + interval '9 day', 4 FROM sales")
    run(source, "INSERT INTO sales (amount) VALUES (3)")
    assert refresh(source, "agg").how == "tail"
    assert differences(source, definition) == 0
    run(source, "INSERT INTO sales (shop, ts, amount) VALUES ('too late', '2024-01-01', 4)")
    assert check(source, "agg").differences == 1
    assert one(source).state == "off"


def test_dropping_the_last_one_leaves_nothing(source: Any) -> None:
    """Intent: a source is afterwards as it was before, and its writers are as they were."""
    before = run(source, CATALOG)
    built(source, BY_SHOP)
    built(source, BY_DAY, "by_day")
    drop(source, "agg")
    assert one(source, "by_day").is_exact
    drop(source, "by_day")
    assert run(source, CATALOG) == before
    built(source, BY_SHOP)
    assert drop_all(source) == ["agg"]
    assert run(source, CATALOG) == before


def test_a_plan_does_nothing(source: Any) -> None:
    """Intent: what a build would run is shown without any of it."""
    before = run(source, CATALOG)
    definition, statements = planned(source, defined(source, BY_SHOP))
    assert definition.base == ("public", "sales")
    assert any(text.startswith("CREATE UNIQUE INDEX") for text in statements)
    assert run(source, CATALOG) == before


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "catalogue", "note_a", "x" * 37])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    """Intent: no name of an aggregate is cut short or taken for one of our own tables."""
    with pytest.raises(AggregateError, match="cannot be the name"):
        checked_name(name)

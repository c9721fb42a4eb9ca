"""Charts on a DuckDB file that are answered from aggregates: a real Superset, and what was sent."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from superset_ext.aggregates.files.catalogue import entry_of, named, stamp_of, write
from superset_ext.aggregates.files.place import place_of
from superset_ext.aggregates.route.duckdb import hold
from superset_ext.errors import NotHeld, SourceBusy
from superset_ext.host.explaining import WITH_PLANS, Asking, connected
from superset_ext.host.regions import chart_region
from superset_ext.plans.compared.sources import source_of as source_of_texts
from superset_ext.settings import AggregateRule
from testing.duckdb_shop import SALES, VIRTUAL, DuckShop, fill, held, kept_of, source_of, written
from testing.in_process import InProcess
from testing.routed import MEAN, MONTH, SOLD, Routed, ask, body, client, proven, rested, stock
from tests.integration.aggregates.conftest import Make

STEPS = int(os.environ.get("ROUTE_STEPS", "25"))
SEED = int(os.environ.get("ROUTE_SEED", "0")) or random.randrange(10**6)


@pytest.fixture
def shop(duck: DuckShop) -> DuckShop:
    """The source, a DuckDB file."""
    return duck


def refreshed(shop: DuckShop, one: Routed, whole: bool = False) -> None:
    with source_of(shop) as source:
        source.refresh("by_day", whole)
    one.catalogue.look(shop.number)
    one._waiting.clear()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"metrics": [SOLD, MEAN], "orderby": [["shop", True]]},
        {**MONTH, "granularity": "ts", "time_range": "2024-01-03 : 2024-02-05"},
        {"columns": [], "filters": [{"col": "shop", "op": "IN", "val": ["shop1", "shop4"]}]},
        {"columns": ["shop", *MONTH["columns"]], "series_columns": ["shop"], "series_limit": 20},
        {"columns": [], "filters": [{"col": "shop", "op": "==", "val": "nobody's"}]},
    ],
)
def test_a_chart_is_answered_from_an_aggregate(
    superset_app: InProcess, shop: DuckShop, make: Make, query: dict[str, Any]
) -> None:
    """Intent: after two runs of both texts DuckDB reads the aggregate's file alone; the answer is stock's, and "View
    query" has Superset's own statement; nothing is attached that somebody could see."""
    shop.build()
    expected = stock(superset_app, shop.sales, **query)
    one = make(aggregates=(AggregateRule(database=shop.name, floats=True),))
    proven(superset_app, one, shop.sales, **query)
    answer = ask(superset_app, shop.sales, **query)
    assert answer.is_routed and answer.shown == expected.shown and answer.status == 200, _reasons(superset_app, one)
    shown = client(superset_app).post("/api/v1/chart/data", json=body(shop.sales, **query)).json["result"][0]
    assert "superset_ext_aggregates" not in shown["query"] and "sales" in shown["query"]
    assert superset_app.rows("SELECT * FROM superset_ext.aggregate_switched_off") == []


def test_a_change_is_seen_at_once(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: a change that another process has committed is in the next answer, whether the aggregate has it
    or not, and so is a file put in place of the source's; once it was refreshed, the aggregate answers again."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    for change in (
        lambda: shop.run("UPDATE sales SET amount = amount + 1 WHERE shop = 'shop1'"),
        lambda: shop.replace(SALES.replace("'shop' || (i % 5)", "'shop' || (i % 6)")),
    ):
        before = ask(superset_app, shop.sales)
        assert before.is_routed
        rested(one)
        change()
        answer = ask(superset_app, shop.sales)
        assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown != before.shown
        refreshed(shop, one)
        answer = ask(superset_app, shop.sales)
        assert answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown, _reasons(superset_app, one)
    assert ("it is not exact at this moment", 2) in _reasons(superset_app, one)


def test_what_is_stored_depends_on_the_base(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: an answer from an aggregate is dropped by what drops stock's, and by nothing else."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    assert ask(superset_app, shop.sales).is_routed
    assert ask(superset_app, shop.sales, force=False).is_cached
    table = f"table:{shop.number}:main."
    for tag, is_kept in (
        ("any", True),
        (f"tables:{shop.number}", True),
        (f"{table}others", True),
        (f"{table}sales", False),
    ):
        with superset_app.app.app_context():
            chart_region(superset_app.app).stamp({tag})
        assert ask(superset_app, shop.sales, force=False).is_cached == is_kept


def test_what_may_be_stale_is_as_of_its_time(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: what is not exact answers where a rule allows so many seconds, and not a second longer; what is stored of
    it is as of the aggregate; and not where its table is not what it was, or it is off."""
    shop.build()
    one = make(aggregates=(AggregateRule(database=shop.name, stale_seconds=3600),))
    proven(superset_app, one, shop.sales)
    before = ask(superset_app, shop.sales)
    assert before.is_routed
    shop.run("UPDATE sales SET amount = amount + 1 WHERE shop = 'shop1'")
    with superset_app.app.app_context():
        chart_region(superset_app.app).stamp({f"table:{shop.number}:main.sales"})
    answer = ask(superset_app, shop.sales)
    assert answer.is_routed and answer.shown == before.shown
    assert not ask(superset_app, shop.sales, force=False).is_cached  # it is older than the change
    rested(one)
    assert superset_app.rows("SELECT * FROM superset_ext.aggregate_switched_off") == []
    shop.run("ALTER TABLE sales ADD other INTEGER")
    answer = ask(superset_app, shop.sales)
    assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown != before.shown
    refreshed(shop, one)
    assert ask(superset_app, shop.sales).is_routed
    rested(one)
    shop.run("DELETE FROM sales WHERE id < 10")
    assert ask(superset_app, shop.sales).is_routed
    _edit(shop, state="off", reason="it differs")
    assert not ask(superset_app, shop.sales).is_routed
    _edit(shop, state="ready")
    one._waiting.clear()
    _edit(shop, as_of=(entry_of(place_of(shop.url), "by_day").as_of or 0) - 3601)  # type: ignore[union-attr]
    answer = ask(superset_app, shop.sales)
    assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown


def _edit(shop: DuckShop, **values: Any) -> None:
    entry = entry_of(place_of(shop.url), "by_day")
    assert entry is not None
    write(place_of(shop.url), replace(entry, **values))


def test_rules_for_rows_are_applied_or_refused(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: who sees some rows sees the same ones from an aggregate; by a column that it lacks, nobody does."""
    shop.build()
    one = make()
    for user, clause in shop.rulers.items():
        expected = stock(superset_app, shop.sales, user)
        if "amount" not in clause:
            proven(superset_app, one, shop.sales, user)
        answer = ask(superset_app, shop.sales, user)
        assert answer.is_routed == ("amount" not in clause) and answer.shown == expected.shown
    assert stock(superset_app, shop.sales).rows != expected.rows


def test_a_virtual_dataset(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: the query of a virtual dataset has its aggregate, which is exact as others are; with a rule for rows in
    it, or a template, it is another query, which that aggregate does not answer."""
    shop.build(f"SELECT shop, SUM(amount) AS a, COUNT(*) AS n FROM ({VIRTUAL}) AS virtual_table GROUP BY shop")
    one = make()
    expected = stock(superset_app, shop.virtual)
    proven(superset_app, one, shop.virtual)
    answer = ask(superset_app, shop.virtual)
    assert answer.is_routed and answer.shown == expected.shown
    for user in shop.rulers:
        assert ask(superset_app, shop.virtual, user).shown == stock(superset_app, shop.virtual, user).shown
    assert ask(superset_app, shop.jinja).shown == stock(superset_app, shop.jinja).shown
    shop.run("UPDATE sales SET price = 1 WHERE shop = 'shop1'")
    answer = ask(superset_app, shop.virtual)
    assert not answer.is_routed and answer.shown == stock(superset_app, shop.virtual).shown != expected.shown


def _rows(shop: DuckShop) -> Any:
    place = place_of(shop.url)
    return named(place, "by_day").file(place)


def _same_stamp(shop: DuckShop, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of an aggregate so that nothing but them tells."""
    _rows(shop).write_bytes(change(_rows(shop).read_bytes()))
    _edit(shop, stamp=stamp_of(_rows(shop)))


def _no_file(shop: DuckShop) -> None:
    """What is known of it is what nobody writes to, so that who opens it waits for ever."""
    path = place_of(shop.url).entry("by_day")
    path.unlink()
    os.mkfifo(path)


def _refreshed_meanwhile(shop: DuckShop) -> None:
    """Make it anew, up to the moment before the rows are taken away that it had."""
    path, rows = _rows(shop), _rows(shop).read_bytes()
    shop.run("UPDATE sales SET amount = amount + 1 WHERE shop = 'shop1'")
    with source_of(shop) as source:
        source.refresh("by_day", whole=False)
    path.write_bytes(rows)


_A_VIEW = "ALTER TABLE sales RENAME TO old; CREATE VIEW sales AS SELECT * FROM old LIMIT 9"
FAULTS: dict[str, Callable[[DuckShop], Any]] = {
    "its rows are gone": lambda shop: _rows(shop).unlink(),
    "its rows are cut": lambda shop: os.truncate(_rows(shop), 20_000),
    "its rows are others": lambda shop: _rows(shop).write_bytes(b"no database"),
    "its bytes are others": lambda shop: _same_stamp(shop, lambda data: data[:8192] + bytes(len(data) - 8192)),
    "the folder is gone": lambda shop: shop.folder.rename(shop.folder.with_suffix(".away")),
    "what is known of it is gone": lambda shop: place_of(shop.url).entry("by_day").unlink(),
    "what is known of it is junk": lambda shop: place_of(shop.url).entry("by_day").write_text("{"),
    "what is known of it is of other kinds": lambda shop: _edit(shop, view=5, as_of="now"),
    "what is known of it is no file": _no_file,
    "more may write to the folder": lambda shop: shop.folder.chmod(0o777),
    "the base is gone": lambda shop: shop.run("DROP TABLE sales"),
    "the base is a view": lambda shop: shop.run(_A_VIEW),
    "a column has another name": lambda shop: shop.run("ALTER TABLE sales RENAME amount TO cost"),
    "a column has another type": lambda shop: shop.run("ALTER TABLE sales ALTER amount TYPE DOUBLE"),
    "another file is in its place": lambda shop: shop.replace(SALES.replace("i % 11", "i % 13")),
    "the file is gone": lambda shop: shop.file.unlink(),
    "it was switched off": lambda shop: _edit(shop, state="off", reason="it differs"),
    "it was built anew": lambda shop: _edit(shop, built_at=1.0),
    "it was refreshed": _refreshed_meanwhile,
    "other settings": lambda shop: _edit(shop, settings="TimeZone=Asia/Tokyo"),
}  # fmt: skip


LIKE_OTHERS = {
    "its rows are cut", "its rows are others", "what is known of it is junk", "a column has another type",
    "another file is in its place", "the file is gone",
}  # fmt: skip


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.thorough) if name in LIKE_OTHERS else name for name in FAULTS]
)
def test_what_is_not_sure_is_superset_s(superset_app: InProcess, shop: DuckShop, make: Make, fault: str) -> None:
    """Intent: whatever happens to the base, the aggregate or its files, the chart gets what stock gives, rows or error,
    and a line says why; nothing of it switches an aggregate off."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    assert ask(superset_app, shop.sales).is_routed
    rested(one)
    FAULTS[fault](shop)
    try:
        for times in range(2):
            answer = ask(superset_app, shop.sales)
            assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown
            one.catalogue.look(shop.number)
            assert len(answer.sent) <= 2 - times
        rested(one)
        assert any("not compared yet" not in reason for reason, _ in _reasons(superset_app, one))
        assert superset_app.rows("SELECT * FROM superset_ext.aggregate_switched_off") == []
    finally:
        _mended(shop)


def _mended(shop: DuckShop) -> None:
    away = shop.folder.with_suffix(".away")
    if away.exists():
        away.rename(shop.folder)
    shop.folder.chmod(0o755)
    if not shop.file.exists():
        fill(shop.file)


def test_a_writer_has_the_file(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: while another process writes to the file, a chart fails as stock's does: what an aggregate has is not
    shown in its place."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    with held(shop.file):
        answer = ask(superset_app, shop.sales)
        assert answer.status != 200 and answer.shown == stock(superset_app, shop.sales).shown
    one._waiting.clear()
    assert ask(superset_app, shop.sales).is_routed


def test_an_old_file_that_is_open(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: while this process reads the file that was there before, its charts are Superset's own, and what they
    read is compared with nothing of the new one."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    with _open(superset_app, shop):
        assert ask(superset_app, shop.sales).is_routed
        rested(one)
        shop.replace(SALES.replace("i % 11", "i % 13"))
        answer = ask(superset_app, shop.sales)
        assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown
        rested(one)
    assert superset_app.rows("SELECT * FROM superset_ext.aggregate_switched_off") == []
    refreshed(shop, one)
    assert ask(superset_app, shop.sales).is_routed


def test_a_statement_that_fails(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: what DuckDB would not take is not answered from an aggregate, so that it fails as in stock."""
    shop.build()
    looked = make().catalogue.source(shop.number)
    assert looked is not None
    (known,) = (looked.known(kept_of(shop)["by_day"].view),)
    session = (looked.zone, looked.database)
    with _open(superset_app, shop) as cursor:
        sql = "SELECT shop, SUM(amount) AS a FROM main.sales GROUP BY shop;"
        assert hold(cursor, known, known.kept.view, session, sql, 0).is_exact
        for wrong in (sql.replace("amount", "cost"), sql.replace("main.sales", "main.others"), f"{sql} {sql}"):
            with pytest.raises(NotHeld, match="the source refused"):
                hold(cursor, known, known.kept.view, session, wrong, 0)


def test_what_is_compared_while_it_is_made_anew(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: a comparison whose rows are taken away under it is put off, and its statement is not left alone."""
    from superset.extensions import db
    from superset.models.core import Database

    shop.build()
    table = kept_of(shop)["by_day"].view.table
    with superset_app.app.app_context():
        database = db.session.get(Database, shop.number)
        source = source_of_texts(database)
        with (
            pytest.raises(SourceBusy),
            connected(Asking(database, "SELECT 1"), WITH_PLANS) as connection,
            source.reading(connection, 5.0, 1) as cursor,
        ):
            _rows(shop).unlink()
            cursor.execute(f"SELECT * FROM {table}")


def test_what_is_compared_waits_for_a_writer(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: a comparison that meets a writer is put off, and its statement is not left alone for that."""
    from superset.extensions import db
    from superset.models.core import Database

    with held(shop.file), superset_app.app.app_context():
        asking = Asking(db.session.get(Database, shop.number), "SELECT 1")
        with pytest.raises(SourceBusy), connected(asking, WITH_PLANS):
            pass


class _open:
    """A connection as Superset has it, open within the block."""

    def __init__(self, app: InProcess, shop: DuckShop) -> None:
        self._app, self._shop = app, shop

    def __enter__(self) -> Any:
        from superset.extensions import db
        from superset.models.core import Database

        with self._app.app.app_context():
            database = db.session.get(Database, self._shop.number)
            with database.get_sqla_engine() as engine:
                self._pooled = engine.raw_connection()
        return self._pooled.dbapi_connection.cursor()

    def __exit__(self, *_: object) -> None:
        self._pooled.close()


def test_nothing_is_attached(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: a chart that is answered from an aggregate leaves nothing in DuckDB that SQL Lab or another chart could
    see or read by name."""
    seen = "SELECT database_name FROM duckdb_databases() WHERE NOT internal"
    shop.build()
    with _open(superset_app, shop) as cursor:
        one = make()
        proven(superset_app, one, shop.sales)
        assert ask(superset_app, shop.sales).is_routed
        rested(one)
        assert cursor.execute(seen) is None and cursor.fetchall() == [("shop",)]
        tables = "SELECT schema_name, table_name FROM duckdb_tables()"
        cursor.execute(f"{tables} UNION SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal")
        assert cursor.fetchall() == [("main", "sales")]


def test_a_wrong_aggregate_is_switched_off(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: before it answers anything, an aggregate that gives other rows is found by running both texts, and is
    switched off until it is built anew."""
    shop.build()
    written(_rows(shop), "UPDATE superset_ext_aggregates.by_day SET n = n + 1 WHERE shop = 'shop1'")
    _edit(shop, stamp=stamp_of(_rows(shop)))
    one = make()
    proven(superset_app, one, shop.sales)
    assert not ask(superset_app, shop.sales).is_routed
    ((name,),) = superset_app.rows("SELECT split_part(aggregate, '.', 1) FROM superset_ext.aggregate_switched_off")
    assert name == "by_day"


def test_no_answer_is_older_than_its_question(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: in whatever order others write to the file or replace it, and the aggregate is refreshed, an answer has
    what was committed before it was asked, by another process's reckoning. `ROUTE_STEPS=1000 ROUTE_SEED=7` takes
    more steps."""
    chance = random.Random(SEED)
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    answered = 0
    for number in range(STEPS):
        step = chance.choice(["write", "log", "replace", "refresh", "refresh", "ask", "ask", "ask"])
        if step == "write":
            shop.run(f"UPDATE sales SET amount = {number} WHERE id % 5 = {number % 5}")
        elif step == "log":
            _logged(shop, number)
        elif step == "replace":
            shop.replace(SALES.replace("i % 11", f"i % {number + 2}"))
        elif step == "refresh":
            refreshed(shop, one)
        rested(one)
        answer = ask(superset_app, shop.sales)
        answered += answer.is_routed
        assert {(row["shop"], row["sold"], row["n"]) for row in answer.listed} == _by_shop(shop), (SEED, number, step)
        one._waiting.clear()
    assert answered, SEED
    rested(one)
    assert superset_app.rows("SELECT * FROM superset_ext.aggregate_switched_off") == []


def _by_shop(shop: DuckShop) -> set[tuple[Any, ...]]:
    rows = shop.run("SELECT shop, sum(amount)::BIGINT, count(*) FROM sales GROUP BY shop")
    return {(name, sold, number) for name, sold, number in rows}


def _logged(shop: DuckShop, number: int) -> None:
    """A commit that stays in the write-ahead log."""
    row = f"INSERT INTO sales (id, shop, amount) VALUES ({number}, 'shop2', {number})"
    shop.run(f"PRAGMA disable_checkpoint_on_shutdown; {row}")


def test_refreshes_and_questions_at_once(superset_app: InProcess, shop: DuckShop, make: Make) -> None:
    """Intent: a chart that is asked while the aggregate is made anew all the time fails never, and is right."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    expected, over = stock(superset_app, shop.sales).shown, threading.Event()

    def work() -> None:
        while not over.is_set():
            with source_of(shop) as source:
                source.refresh("by_day", whole=True)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(8):
            one.catalogue.look(shop.number)
            one._waiting.clear()
            assert ask(superset_app, shop.sales).shown == expected
    finally:
        over.set()
        worker.join()
    rested(one)
    one.catalogue.look(shop.number)
    one._waiting.clear()
    assert kept_of(shop)["by_day"].is_exact
    assert ask(superset_app, shop.sales).is_routed, _reasons(superset_app, one)


def _reasons(app: InProcess, one: Routed) -> Any:
    one.flush()
    return app.rows("SELECT reason, refused FROM superset_ext.aggregate_refusal")

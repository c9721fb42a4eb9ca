# ruff: noqa: E501  (SQL and intents that are easier to read in one line)
"""Charts that are answered from aggregates: a real Superset, a real PostgreSQL, and what it was sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from superset_ext.aggregates.tables.refreshing import refresh
from superset_ext.doctor.superset import check_aggregates
from superset_ext.host.regions import chart_region
from superset_ext.monitor.prometheus import exposition
from superset_ext.settings import AggregateRule
from testing.in_process import InProcess
from testing.routed import MEAN, MONTH, NUMBER, SOLD, Answer, Routed, ask, body, client, proven, rested, stock
from testing.routed_shop import Shop
from tests.integration.aggregates.conftest import Make


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"metrics": [SOLD, MEAN], "orderby": [[SOLD, False]]},
        {**MONTH, "granularity": "ts", "time_range": "2024-01-03 : 2024-02-05"},
        {"columns": [], "filters": [{"col": "shop", "op": "IN", "val": ["shop1", "shop4"]}]},
        {"columns": ["shop", *MONTH["columns"]], "series_columns": ["shop"], "series_limit": 2},
        {"orderby": [[SOLD, False]], "row_limit": 2},
        {"columns": [], "filters": [{"col": "shop", "op": "==", "val": "nobody's"}]},
    ],
)
def test_a_chart_is_answered_from_an_aggregate(
    superset_app: InProcess, shop: Shop, make: Make, query: dict[str, Any]
) -> None:
    """Intent: after two runs of both texts PostgreSQL reads the aggregate alone; the answer is stock's, and "View query"
    has Superset's own statement."""
    shop.build()
    expected = stock(superset_app, shop.sales, **query)
    one = make()
    proven(superset_app, one, shop.sales, **query)
    answer = ask(superset_app, shop.sales, **query)
    assert answer.is_routed and answer.shown == expected.shown and answer.status == 200
    shown = client(superset_app).post("/api/v1/chart/data", json=body(shop.sales, **query)).json["result"][0]
    assert "superset_ext_aggregates" not in shown["query"] and "sales" in shown["query"]


TIED = {
    "a row limit": {"metrics": [NUMBER], "orderby": [[NUMBER, False]], "row_limit": 2},
    "a series limit": {"columns": ["shop", *MONTH["columns"]], "metrics": [NUMBER], "series_columns": ["shop"],
                       "series_limit": 2},
}  # fmt: skip


@pytest.mark.parametrize("limit", TIED)
def test_what_ties_where_a_limit_cuts_is_superset_s(
    superset_app: InProcess, shop: Shop, make: Make, limit: str
) -> None:
    """Intent: where rows tie at the cut of a LIMIT, which of them come is Superset's own statement's to say: before
    anything is answered, and where they tie from some moment on."""
    shop.build()
    one = make()
    shop.run("INSERT INTO sales (shop, ts) SELECT 'shop1', '2024-01-01' FROM generate_series(1, 500)")
    shop.run("INSERT INTO sales (shop, ts) SELECT 'shop2', '2024-01-01' FROM generate_series(1, 90)")
    _refreshed(shop, one)
    proven(superset_app, one, shop.sales, **TIED[limit])
    assert ask(superset_app, shop.sales, **TIED[limit]).is_routed
    rested(one)  # else the comparison of that answer may see the rows that tie
    shop.run("DELETE FROM sales WHERE shop = 'shop3'")
    shop.run("INSERT INTO sales (shop, ts) SELECT 'shop3', ts FROM sales WHERE shop = 'shop2'")
    _refreshed(shop, one)
    answer = ask(superset_app, shop.sales, **TIED[limit])
    assert not answer.is_routed and len(answer.sent) == 2 and answer.status == 200
    answer, expected = ask(superset_app, shop.sales, **TIED[limit]), stock(superset_app, shop.sales, **TIED[limit])
    assert not answer.is_routed and answer.sent == expected.sent and len(answer.sent) == 1
    assert _numbers(answer) == _numbers(expected)


def test_what_ties_while_it_is_compared_is_left_alone_for_that(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: the text of a series limit ends with an error where rows tie; a person reads that, and not the error."""
    shop.build()
    one = make()
    shop.run("INSERT INTO sales (shop, ts) SELECT 'shop1', '2024-01-01' FROM generate_series(1, 500)")
    shop.run("INSERT INTO sales (shop, ts) SELECT 'shop2', '2024-01-01' FROM generate_series(1, 90)")
    shop.run("DELETE FROM sales WHERE shop = 'shop3'")
    shop.run("INSERT INTO sales (shop, ts) SELECT 'shop3', ts FROM sales WHERE shop = 'shop2'")
    _refreshed(shop, one)
    ask(superset_app, shop.sales, **TIED["a series limit"])
    rested(one)
    assert [reason for _, reason in one._left.values()] == [
        "rows tie where its LIMIT cuts, or something is divided by zero"
    ]


def _numbers(answer: Answer) -> Any:
    """What two runs of one statement agree on, though each may give another of the rows that tie."""
    return answer.status, answer.columns, sorted(row["n"] for row in answer.listed)


def _refreshed(shop: Shop, one: Routed) -> None:
    with shop.connection() as connection:
        refresh(connection, "by_day")
    one.catalogue.look(shop.number)
    one._waiting.clear()


def test_a_change_is_seen_at_once(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: a change of the base that was committed is in the next answer, whether the aggregate has it already or
    not; and once it was refreshed, it answers again."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    before = ask(superset_app, shop.sales)
    shop.run("UPDATE sales SET amount = amount + 1 WHERE shop = 'shop1'")
    answer = ask(superset_app, shop.sales)
    assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown != before.shown
    _refreshed(shop, one)
    answer = ask(superset_app, shop.sales)
    assert answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown
    one.flush()
    ((reason,),) = superset_app.rows("SELECT reason FROM superset_ext.aggregate_refusal WHERE reason LIKE '%%moment'")
    assert reason == "it is not exact at this moment"


def test_what_is_stored_depends_on_the_base(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: an answer from an aggregate is dropped by what drops stock's: a change of the base that is told."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    assert ask(superset_app, shop.sales).is_routed
    assert ask(superset_app, shop.sales, force=False).is_cached
    with superset_app.app.app_context():
        chart_region(superset_app.app).stamp({f"table:{shop.number}:public.sales"})
    assert not ask(superset_app, shop.sales, force=False).is_cached


def test_what_may_be_stale_is_as_of_its_time(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: what is kept up by schedule answers only where a rule allows so many seconds, and not a second longer; what
    is stored of it is as of the aggregate, so that a change since then is not hidden by the cache."""
    shop.build(upkeep="schedule")
    make()
    assert not ask(superset_app, shop.sales).is_routed
    one = make(aggregates=(AggregateRule(database=shop.name, stale_seconds=3600),))
    proven(superset_app, one, shop.sales)
    before = ask(superset_app, shop.sales)
    assert before.is_routed
    shop.run("UPDATE sales SET amount = amount + 1 WHERE shop = 'shop1'")
    with superset_app.app.app_context():
        chart_region(superset_app.app).stamp({f"table:{shop.number}:public.sales"})
    answer = ask(superset_app, shop.sales)
    assert answer.is_routed and answer.shown == before.shown
    assert not ask(superset_app, shop.sales, force=False).is_cached  # it is older than the change
    shop.run("UPDATE superset_ext_aggregates.catalogue SET as_of = as_of - interval '1 hour'")
    answer = ask(superset_app, shop.sales)
    assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown != before.shown


def test_rules_for_rows_are_applied_or_refused(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: who sees some rows sees the same ones from an aggregate; by a column that it does not keep, nobody does."""
    shop.build()
    one = make()
    for user, clause in shop.rulers.items():
        expected = stock(superset_app, shop.sales, user)
        if "amount" not in clause:
            proven(superset_app, one, shop.sales, user)
        answer = ask(superset_app, shop.sales, user)
        assert answer.is_routed == ("amount" not in clause) and answer.shown == expected.shown
    everything = stock(superset_app, shop.sales)
    assert everything.rows != expected.rows


def test_a_virtual_dataset(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: the query of a virtual dataset has its aggregate; with a rule for rows in it, or a template, it is another
    query, which that aggregate does not answer."""
    shop.build("SELECT shop, SUM(amount) AS a, COUNT(*) AS n FROM (SELECT shop, amount FROM public.sales WHERE price > 10) "
               "AS virtual_table GROUP BY shop", "of_query", upkeep="schedule")  # fmt: skip
    one = make(aggregates=(AggregateRule(database=shop.name, stale_seconds=3600),))
    expected = stock(superset_app, shop.virtual)
    proven(superset_app, one, shop.virtual)
    answer = ask(superset_app, shop.virtual)
    assert answer.is_routed and answer.shown == expected.shown
    for user in shop.rulers:
        assert ask(superset_app, shop.virtual, user).shown == stock(superset_app, shop.virtual, user).shown
    assert ask(superset_app, shop.jinja).shown == stock(superset_app, shop.jinja).shown


FAULTS = {
    "a table of it has row security": "ALTER TABLE sales ENABLE ROW LEVEL SECURITY",
    "the aggregate's table is gone": "DROP TABLE superset_ext_aggregates.by_day",
    "everything of ours is gone": "DROP SCHEMA superset_ext_aggregates CASCADE",
    "the base is gone": "DROP TABLE sales",
    "the base is another table": "ALTER TABLE sales RENAME TO old; CREATE TABLE sales AS SELECT * FROM old LIMIT 10",
    "a column has another name": "ALTER TABLE sales RENAME amount TO cost",
    "a column has another type": "ALTER TABLE sales ALTER amount TYPE numeric",
    "it was switched off": "UPDATE superset_ext_aggregates.catalogue SET state = 'off'",
    "it was built anew": "UPDATE superset_ext_aggregates.catalogue SET built_at = now() + interval '1 s'",
    "it was refreshed": "UPDATE superset_ext_aggregates.catalogue SET version = version + 1",
    "a trigger is off": "ALTER TABLE sales DISABLE TRIGGER ALL",
    "the session has another zone": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', current_database()); END $$",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_sure_is_superset_s(superset_app: InProcess, shop: Shop, make: Make, fault: str) -> None:
    """Intent: whatever happens to the base, the aggregate or the session, the chart gets what stock gives, rows or error,
    and a line says why."""
    shop.build()
    one = make()
    proven(superset_app, one, shop.sales)
    assert ask(superset_app, shop.sales).is_routed
    rested(one)
    shop.run(FAULTS[fault])
    _new_sessions(shop)
    try:
        for _ in range(2):
            answer = ask(superset_app, shop.sales)
            assert not answer.is_routed and answer.shown == stock(superset_app, shop.sales).shown
        one.flush()
        reasons = superset_app.rows("SELECT reason FROM superset_ext.aggregate_refusal WHERE aggregate = 'by_day'")
        assert any("not compared yet" not in reason for (reason,) in reasons), reasons
    finally:
        shop.run("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET timezone', current_database()); END $$")
        _new_sessions(shop)


def _new_sessions(shop: Shop) -> None:
    """End the connections that Superset keeps, as a restart of the source does."""
    shop.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
             "WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip


def test_a_role_that_may_not_read(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: nobody reads from an aggregate what the role may not read of the base."""
    from superset.extensions import db
    from superset.models.core import Database

    shop.build()
    role = "reader_of_aggregates"
    shop.run(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA superset_ext_aggregates TO {role}; "
             f"GRANT SELECT ON ALL TABLES IN SCHEMA superset_ext_aggregates TO {role}; GRANT SELECT ON sales TO {role}")  # fmt: skip
    uri = shop.url
    try:
        import sqlalchemy

        url = sqlalchemy.engine.make_url(uri).set(username=role, password="x")
        with superset_app.app.app_context():
            db.session.get(Database, shop.number).set_sqlalchemy_uri(url.render_as_string(hide_password=False))
            db.session.commit()
        one = make()
        proven(superset_app, one, shop.sales)
        assert ask(superset_app, shop.sales).is_routed
        rested(one)
        shop.run(f"REVOKE SELECT ON sales FROM {role}")
        answer = ask(superset_app, shop.sales)
        assert answer.shown == stock(superset_app, shop.sales).shown and answer.status != 200
        shop.run(f"GRANT SELECT (shop) ON sales TO {role}")
        one._waiting.clear()
        answer = ask(superset_app, shop.sales)
        assert answer.shown == stock(superset_app, shop.sales).shown and answer.status != 200
        shop.run(f"GRANT SELECT ON sales TO {role}; REVOKE SELECT ON superset_ext_aggregates.by_day FROM {role}")
        one._waiting.clear()
        answer = ask(superset_app, shop.sales)
        assert answer.shown == stock(superset_app, shop.sales).shown and answer.status == 200 and not answer.is_routed
    finally:
        with superset_app.app.app_context():
            db.session.get(Database, shop.number).set_sqlalchemy_uri(uri)
            db.session.commit()
        _new_sessions(shop)
        shop.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize(
    "rules",
    [(AggregateRule(dataset="others"),), (AggregateRule(dataset="*", use=False), AggregateRule(dataset="*"))],
)
def test_only_what_the_settings_name(superset_app: InProcess, shop: Shop, make: Make, rules: Any) -> None:
    """Intent: of several items the first that matches says it; what none names is left alone, and no source is asked."""
    shop.build()
    one = make(aggregates=rules)
    ask(superset_app, shop.sales)
    assert not ask(superset_app, shop.sales).is_routed and one.is_idle


def test_impersonation_is_superset_s(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: a database that is asked as each user is left alone, and that is counted."""
    shop.build()
    one = make()
    superset_app.rows("UPDATE dbs SET impersonate_user = true WHERE id = %s", (shop.number,))
    try:
        ask(superset_app, shop.sales)
    finally:
        superset_app.rows("UPDATE dbs SET impersonate_user = false WHERE id = %s", (shop.number,))
    one.flush()
    (row,) = superset_app.rows("SELECT aggregate, reason, refused FROM superset_ext.aggregate_refusal")
    assert row == ("by_day", "its database is asked as each user", 1)


def test_the_source_is_looked_at_in_the_background(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: the first chart waits for no look at its source; a thread does it, and what it sees is in the log."""
    shop.build()
    one = make(looks=False)
    try:
        assert not ask(superset_app, shop.sales).is_routed
        from testing.probes import until

        until(lambda: shop.number in one.catalogue._looked)
        proven(superset_app, one, shop.sales)
        assert ask(superset_app, shop.sales).is_routed
        ((name, upkeep),) = superset_app.rows("SELECT aggregate, upkeep FROM superset_ext.aggregate_state")
        assert (name, upkeep) == ("by_day", "notes")
    finally:
        one.catalogue._wanted.clear()
        until(lambda: one.catalogue._thread is None)


def test_names_without_a_schema_are_the_table(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: a statement that names the table without its schema is answered where the path leads there, and not where
    another table has that name first."""
    shop.build()
    one = make()
    looked = one.catalogue.source(shop.number)
    assert looked is not None
    from superset_ext.aggregates.match import Match
    from superset_ext.aggregates.over import EXACT

    sql = "SELECT shop, SUM(amount) AS a FROM sales GROUP BY shop"
    assert isinstance(looked.place("public").answer(sql, EXACT), Match)
    assert isinstance(looked.place(None).answer(sql, EXACT), Match)
    assert not isinstance(looked.place("elsewhere").answer(sql, EXACT), Match)


def test_what_was_answered_is_seen(superset_app: InProcess, shop: Shop, make: Make) -> None:
    """Intent: the command, the view of the dashboard, the route, the metrics and the doctor say what was answered and
    saved, and why another chart was left to Superset; the route says nothing to whom Superset lets not ask the database."""
    shop.build()
    one = make(aggregates_shadow=10**9)
    proven(superset_app, one, shop.sales)
    for _ in range(3):
        assert ask(superset_app, shop.sales).is_routed
    ask(superset_app, shop.sales, columns=["id"])
    one.flush()
    with superset_app.app.app_context():
        shown = superset_app.perf("aggregates", "list", "--database", shop.name)
        assert "3 statements answered" in shown.output and "compared 2 times, 0 with other" in shown.output, (
            shown.output
        )
        assert "left to Superset: 1 × no aggregate keeps what is asked of the column 'id'" in shown.output
        (row,) = json.loads(superset_app.perf("aggregates", "list", "--database", shop.name, "--json").stdout)
        assert (row["answered"], row["differences"], row["switched_off"]) == (3, 0, None)
    (seen,) = superset_app.rows(
        "SELECT aggregate, made_of, state, answered, differences FROM superset_ext.perf_aggregate"
    )
    assert seen == ("by_day", "public.sales", "exact", 3, 0)
    path = "/api/v1/performance/aggregates"
    (item,) = client(superset_app).get(path).json["result"]
    assert (item["aggregate"], item["answered"]) == ("by_day", 3)
    assert client(superset_app, next(iter(shop.rulers))).get(path).status_code == 403
    text = exposition(superset_app.package.log())[0].decode()
    assert f'aggregate="by_day",database="{shop.number}",outcome="answered"}} 3.0' in text
    with superset_app.app.app_context():
        values = superset_app.package.settings.model_copy(update={"aggregates": (AggregateRule(database=shop.name),)})
        (finding,) = check_aggregates(superset_app.app, replace(superset_app.package, settings=values))
        assert finding.level == "fine" and finding.message.startswith("3 statements")

# ruff: noqa: E501  (SQL that is easier to read in one line)
"""Charts that are answered by another text of their statement: a real Superset, a real PostgreSQL, and what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg2
import pytest
from sqlglot import exp

from superset_ext.doctor.superset import check_optimizer, check_rewrites
from superset_ext.events import Queried, queried
from superset_ext.host import source_queries, substitutes
from superset_ext.host.regions import chart_region
from superset_ext.host.substitutes import Posed, Substitution
from superset_ext.monitor.prometheus import exposition
from superset_ext.plans.compared.pairs import Pairs
from superset_ext.plans.compared.switches import Switches
from superset_ext.plans.rewrite import AUTOMATIC
from superset_ext.plans.rewrite.automatic.substitute import KIND, AutomaticRewrites
from superset_ext.plans.rewrite.rewriting import Rule
from superset_ext.plans.rewrite.statement import Statement
from superset_ext.plans.rewrite.verdict import Verdict, Verdicts
from superset_ext.settings import REWRITE_RULES, Rewrite
from testing.databases import Databases
from testing.in_process import ADMIN, PASSWORD, InProcess
from testing.plans_source import Source, source_in
from testing.probes import until

TOTAL = {"expressionType": "SQL", "sqlExpression": "SUM(amount)", "label": "total"}
NUMBER = {"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}
YEAR = {"where": "EXTRACT(YEAR FROM placed) = 2024"}
AS_TEXT = {"where": "CAST(id AS TEXT) = '12345'"}
DECIMAL = {"where": "id = 12345.0"}


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Source]:
    with databases.empty() as url, source_in(in_process, url) as made:
        yield made


class Used(AutomaticRewrites):
    """The substitute of a process, of which a test waits for what it does in the background."""

    compared: threading.Semaphore

    def shown(self, job: Any, shown: Any) -> None:
        """See `AutomaticRewrites`."""
        super().shown(job, shown)
        self.compared.release()

    def refused(self, job: Any, reason: str) -> None:
        """See `AutomaticRewrites`."""
        super().refused(job, reason)
        self.compared.release()


Make = Callable[..., Used]


@pytest.fixture
def make(superset_app: InProcess, source: Source, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes the substitute of a process; every chart may be rewritten, and every answer is compared."""
    charts = lambda: chart_region(superset_app.app)  # noqa: E731
    for table in ("rewrite_use", "rewrite_switched_off"):
        superset_app.rows(f"DELETE FROM superset_ext.{table}")
    for dataset in (source.orders, source.few, virtual(superset_app, source)):
        Switches(KIND, charts).allow(dataset, REWRITE_RULES)

    def made(rules: tuple[Rule, ...] = AUTOMATIC, **settings: Any) -> Used:
        chosen = {"rewrites": (Rewrite(database=source.name),), "rewrites_shadow": 1, "plans_active": 100, **settings}
        values = superset_app.package.settings.model_copy(update=chosen)
        log = superset_app.package.log()
        one = Used(superset_app.app, log, lambda: None, charts, values, rules, lambda: Pairs(0.0, float("-inf")))
        one.compared = threading.Semaphore(0)
        one.flush()
        monkeypatch.setattr(substitutes, "substitutes", (one,))
        everyone.append(one)
        return one

    everyone: list[Used] = []
    yield made
    for one in everyone:  # nobody runs anything on the source when it goes
        until(partial(_is_idle, one))


def _is_idle(one: Used) -> bool:
    return not len(one._shadow._queue)


@contextmanager
def heard() -> Iterator[list[Queried]]:
    """The queries of charts that end within this."""
    events: list[Queried] = []

    def hear(_sender: str, event: Queried) -> None:
        events.append(event)

    queried.connect(hear)
    try:
        yield events
    finally:
        queried.disconnect(hear)


_clients: dict[str, Any] = {}


def client(app: InProcess, user: str = ADMIN, password: str = PASSWORD) -> Any:
    """Somebody who logs in once: checking a password takes long."""
    if user not in _clients:
        _clients[user] = app.client(user, password)
    return _clients[user]


def chart(
    app: InProcess, dataset: int, extras: Any = None, user: str = ADMIN, password: str = PASSWORD, **query: Any
) -> Any:
    """The data of a chart's forced request."""
    body = {
        "datasource": {"id": dataset, "type": "table"}, "force": True, "result_format": "json", "result_type": "full",
        "queries": [{"columns": [], "metrics": [NUMBER], "filters": [], "row_limit": 1000, "extras": extras or {}, **query}],
    }  # fmt: skip
    answer = client(app, user, password).post("/api/v1/chart/data", json=body)
    assert answer.status_code == 200, answer.json
    return answer.json["result"][0]


def sent(app: InProcess, dataset: int, extras: Any = None, **query: Any) -> tuple[Any, Queried]:
    """The rows of a chart, and the query that it was."""
    with heard() as events:
        rows = chart(app, dataset, extras, **query)["data"]
    (event,) = events
    return rows, event


def proven(app: InProcess, one: Used, dataset: int, extras: Any = None, **query: Any) -> list[Any]:
    """Ask a chart until its statement has been compared as often as it must; the answers."""
    answers = []
    for _ in range(2):
        until(partial(_is_idle, one))
        answers.append(sent(app, dataset, extras, **query)[0])
        until(partial(_is_idle, one))
    while one.compared.acquire(blocking=False):  # what a test waits for comes after this
        pass
    return answers


def virtual(app: InProcess, source: Source) -> int:
    """The dataset that sorts."""
    ((number,),) = app.rows("SELECT datasource_id FROM slices WHERE id = %s", (source.virtual,))
    return int(number)


GROUPED: dict[str, Any] = {
    "columns": ["note"], "metrics": [TOTAL], "orderby": [[TOTAL, False]],
    "filters": [{"col": "note", "op": "LIKE", "val": "ab%"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("extras", "stock", "ours"),
    [
        (YEAR, "EXTRACT(YEAR FROM placed) = 2024", "placed >= CAST('2024-01-01 00:00:00' AS TIMESTAMP)"),
        (AS_TEXT, "CAST(id AS TEXT) = '12345'", "id = 12345"),
        (DECIMAL, "id = 12345.0", "id = 12345"),
    ],
)
def test_a_condition_is_sent_in_its_quicker_form(
    superset_app: InProcess, source: Source, make: Make, extras: dict[str, str], stock: str, ours: str
) -> None:
    """Intent: after two runs of both texts the other one is what PostgreSQL gets; the answer is that of before, and the
    query log and "View query" have Superset's own statement."""
    one = make(rewrites=(Rewrite(dataset="public.FE*", rules=()), Rewrite(dataset="public.order?")))
    first, second = proven(superset_app, one, source.orders, extras)
    rows, event = sent(superset_app, source.orders, extras)
    (text,) = event.sent
    assert ours in text and stock not in text and stock in event.sql
    assert rows == first == second and rows[0]["n"] > 0
    assert stock in chart(superset_app, source.orders, extras)["query"]


def test_a_virtual_dataset_is_not_sorted(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: the ORDER BY of a virtual dataset is left out, and the rows come as before."""
    one, dataset = make(), virtual(superset_app, source)
    first, _ = proven(superset_app, one, dataset, **GROUPED)
    rows, event = sent(superset_app, dataset, **GROUPED)
    assert "ORDER BY note" not in " ".join(event.sent[0].split()) and "ORDER BY note" in " ".join(event.sql.split())
    assert sorted(map(str, rows)) == sorted(map(str, first)) and len(rows) > 100


def planted(name: str, change: Callable[[Statement], None]) -> tuple[tuple[Rule, ...], dict[str, bool]]:
    """A rule of that name that is right until `bad["now"]`, and then does something else."""
    bad = {"now": False}
    right = next(rule for rule in AUTOMATIC if rule.__name__ == name)

    def rule(statement: Statement) -> Verdict:
        if not bad["now"]:
            return right(statement)
        verdicts = Verdicts("nothing")
        change(statement)
        verdicts.change("something else", 2.0)
        return verdicts.verdict()

    rule.__name__ = name
    return (*(one for one in AUTOMATIC if one is not right), rule), bad


def _without_where(statement: Statement) -> None:
    statement.tree.find(exp.Select).set("where", None)  # type: ignore[union-attr]


def _divided_by_zero(statement: Statement) -> None:
    where = statement.tree.find(exp.Where)
    assert where is not None
    where.set("this", exp.condition("1 / (id - id) = 1"))


def test_a_wrong_rule_never_answers(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: a rule that is wrong is found before it has answered any chart."""
    rules, bad = planted("integer_as_decimal", _without_where)
    one = make(rules)
    bad["now"] = True
    right, _ = sent(superset_app, source.orders, DECIMAL)
    assert one.compared.acquire(timeout=60)
    for _ in range(3):
        rows, event = sent(superset_app, source.orders, DECIMAL)
        assert rows == right == [{"n": 1}] and "id = 12345.0" in event.sent[0]
    one.flush()
    assert superset_app.rows("SELECT dataset_id, rule FROM superset_ext.rewrite_switched_off") == [
        (source.orders, "integer_as_decimal")
    ]


def test_a_rule_that_turns_wrong_ends_everywhere(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: a compared sample that differs ends the rule for the dataset in other processes too, before they have
    read any row of it; the answers that it gave are dropped, others are not; no value is in any table of ours."""
    rules, bad = planted("integer_as_decimal", _without_where)
    other = make(rules)
    proven(superset_app, other, source.orders, DECIMAL)
    other.flush()
    one = make(rules)  # it finds the rows of the other, and learns of the tables by its first look
    sent(superset_app, source.orders, DECIMAL)
    assert one.compared.acquire(timeout=60)
    assert "id = 12345.0" not in sent(superset_app, source.orders, DECIMAL)[1].sent[0]
    assert one.compared.acquire(timeout=60)
    cached = stored(superset_app, source.orders)
    plain = stored(superset_app, source.orders, extras={"where": "id = 7"})
    assert cached() and plain()
    bad["now"] = True
    one._texts.forget()
    rows, event = sent(superset_app, source.orders, {"where": "id = 54321.0"})
    assert "WHERE" not in event.sent[0] and rows[0]["n"] > 1  # it has answered: one in so many is found by its sample
    assert one.compared.acquire(timeout=60)
    assert not cached() and plain()
    for substitute in (one, other):
        substitutes.substitutes = (substitute,)
        rows, event = sent(superset_app, source.orders, DECIMAL)
        assert rows == [{"n": 1}] and "id = 12345.0" in event.sent[0]
    one.flush()
    tables = "".join(
        str(superset_app.rows(f"SELECT * FROM superset_ext.{table}"))
        for table in ("rewrite_use", "rewrite_switched_off")
    )
    assert "id = ?" in tables and "12345" not in tables and "54321" not in tables
    _is_seen(superset_app, source)


def _is_seen(app: InProcess, source: Source) -> None:
    """The doctor, the metrics and the command say that a rule differed; a person allows it again."""
    log = app.package.log()
    settings = app.package.settings.model_copy(update={"rewrites": (Rewrite(database=source.name),)})
    with app.app.app_context():
        findings = check_rewrites(app.app, replace(app.package, settings=settings))
        assert "gave other rows" in " ".join(one.message for one in findings)
    text = exposition(log)[0].decode()
    assert f'superset_ext_rewrites{{dataset="{source.orders}",outcome="different"}} 1.0' in text
    output = app.perf("rewrite", "--automatic").output
    assert f"OFF: integer_as_decimal gave other rows for dataset {source.orders}" in output and "id = ?" in output
    (use,) = json.loads(app.perf("rewrite", "--automatic", "--json").output)["uses"]
    assert (use["rules"], use["differences"], use["off"]) == (["integer_as_decimal"], 1, 1) and use["uses"] == 2
    assert "may be used" in app.perf("rewrite", "--allow", str(source.orders)).output
    assert json.loads(app.perf("rewrite", "--automatic", "--json").output)["off"] == []


def test_superset_s_optimizer_is_named(superset_app: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: the doctor warns of Superset's own rewriting, which gives other answers, where it is switched on alone."""
    from superset.extensions import feature_flag_manager

    with superset_app.app.app_context():
        assert not list(check_optimizer(superset_app.app, superset_app.package))
        monkeypatch.setitem(feature_flag_manager._feature_flags, "OPTIMIZE_SQL", True)
        (finding,) = check_optimizer(superset_app.app, superset_app.package)
    assert finding.level == "warning" and "OPTIMIZE_SQL" in finding.message


def test_an_impersonated_user_gets_their_own(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: where a database is asked as each user, both texts are run as the user; a guest's are left as they are."""
    with closing(psycopg2.connect(source.url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        secret = psycopg2.extensions.parse_dsn(source.url)["password"]
        cursor.execute(f"CREATE ROLE {ADMIN} LOGIN PASSWORD '{secret}'; GRANT SELECT ON orders TO {ADMIN}")
        # Nobody else is shown any row, so that both texts are surely run as this one.
        cursor.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        cursor.execute(f"CREATE POLICY own ON orders TO {ADMIN} USING (region = 'region 7')")
        superset_app.rows("UPDATE dbs SET impersonate_user = true WHERE id = %s", (source.number,))
        try:
            one = make()
            answers = proven(superset_app, one, source.orders, YEAR)
            rows, event = sent(superset_app, source.orders, YEAR)
            assert "EXTRACT" not in event.sent[0] and rows == answers[0] and 0 < rows[0]["n"] < 2000
            posed = Posed(
                event.sql, Impersonating(), source.number, source.name, "postgresql", None, "public", 1, "x", None
            )
            assert "guest" in str(one.substitution(posed))
        finally:
            superset_app.rows("UPDATE dbs SET impersonate_user = false WHERE id = %s", (source.number,))
            cursor.execute(
                "DROP POLICY own ON orders; ALTER TABLE orders NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY"
            )
            cursor.execute(f"DROP OWNED BY {ADMIN}; DROP ROLE {ADMIN}")


class Impersonating:
    """A database that is asked as each user."""

    impersonate_user = True


@pytest.mark.parametrize(
    ("rewrites", "reason"),
    [
        ((Rewrite(dataset="sales"),), "names its dataset"),
        ((Rewrite(dataset="public.orders", database="another"),), "names its dataset"),
        ((Rewrite(dataset="*", rules=()), Rewrite(dataset="*")), "anything to look at"),
        ((Rewrite(dataset="*", rules=("extract_range",)),), "anything to look at"),
        ((Rewrite(dataset="*"),), "not compared yet"),
    ],
)
def test_only_what_the_settings_name(source: Source, make: Make, rewrites: Any, reason: str) -> None:
    """Intent: of several items the first that matches says which rules, and what none names is left alone."""
    sql = "SELECT COUNT(*) AS n FROM orders WHERE id = 12345.0"
    posed = Posed(
        sql, Own(), source.number, source.name, "postgresql", None, "public", source.orders, "public.orders", 1
    )
    assert reason in str(make(rewrites=rewrites).substitution(posed))


class Own:
    """A database that is asked as one user."""

    impersonate_user = False


def test_a_busy_source_is_left_alone(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: nothing is compared on a source that has more to do than the settings allow, and nothing is used then."""
    one = make(plans_active=-1)
    for _ in range(3):
        assert "id = 12345.0" in sent(superset_app, source.orders, DECIMAL)[1].sent[0]
        until(partial(_is_idle, one))
    one.flush()
    assert not superset_app.rows("SELECT * FROM superset_ext.rewrite_use")


def test_a_limit_that_cuts_is_superset_s(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: where a LIMIT chooses among rows that tie, Superset's own statement answers, whatever it was before."""
    one, dataset = make(), virtual(superset_app, source)
    query = {"columns": ["note"], "metrics": [NUMBER], "orderby": [[NUMBER, False]], "filters": GROUPED["filters"]}
    proven(superset_app, one, dataset, **query, row_limit=1000)
    assert "ORDER BY note" not in " ".join(sent(superset_app, dataset, **query, row_limit=1000)[1].sent[0].split())
    rows, event = sent(superset_app, dataset, **query, row_limit=10)
    assert len(rows) == 10 and "ORDER BY note" in " ".join(event.sent[-1].split())


def stored(app: InProcess, dataset: int, extras: Any = DECIMAL) -> Callable[[], bool]:
    """Have a chart's answer stored; what says whether it is there still."""
    body = {
        "datasource": {"id": dataset, "type": "table"}, "force": False, "result_format": "json", "result_type": "full",
        "queries": [{"columns": [], "metrics": [NUMBER], "filters": [], "row_limit": 1000, "extras": extras}],
    }  # fmt: skip

    def ask() -> bool:
        answer = client(app).post("/api/v1/chart/data", json=body)
        assert answer.status_code == 200, answer.json
        return bool(answer.json["result"][0]["is_cached"])

    ask()
    return ask


def test_what_fails_is_answered_by_superset_s_own(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: a text that the source refuses costs one more statement, once: the chart is answered, its error is nobody's,
    and the statement is left as it is from then on, in other processes too."""
    rules, bad = planted("integer_as_decimal", _divided_by_zero)
    one = make(rules)
    right = proven(superset_app, one, source.orders, DECIMAL)[0]
    bad["now"] = True
    one._texts.forget()
    rows, event = sent(superset_app, source.orders, DECIMAL)
    assert rows == right and len(event.sent) == 2 and event.error is None and "id = 12345.0" in event.sent[1]
    rows, event = sent(superset_app, source.orders, DECIMAL)
    assert rows == right and len(event.sent) == 1 and "id = 12345.0" in event.sent[0]
    one.flush()
    ((state, reason, failures),) = superset_app.rows("SELECT state, reason, failures FROM superset_ext.rewrite_use")
    assert (state, failures) == ("off", 1) and "DivisionByZero" in reason


def test_a_table_that_is_defined_anew(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: what a rule was told of a table is looked at again in the transaction that reads it; where it is something
    else by now, Superset's own statement answers."""
    with closing(psycopg2.connect(source.url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        one = make()
        extras = {"where": "CAST(paid AS TEXT) = '123'"}
        proven(superset_app, one, source.few, extras)
        assert "paid = 123" in sent(superset_app, source.few, extras)[1].sent[0]
        assert one.compared.acquire(timeout=60)
        cursor.execute("ALTER TABLE few ALTER COLUMN paid TYPE numeric USING paid + 0.0")  # as text '123.0'
        rows, event = sent(superset_app, source.few, extras)
        assert rows == [{"n": 0}] and len(event.sent) == 2 and "'123'" in event.sent[1]
        rows, event = sent(superset_app, source.few, extras)
        assert rows == [{"n": 0}] and "'123'" in event.sent[0]


def test_row_level_rules_stay(superset_app: InProcess, source: Source, make: Make) -> None:
    """Intent: who sees some rows sees the same ones by the other text, which has the rule as a predicate too."""
    with superset_app.app.app_context():
        from superset.extensions import security_manager

        user = security_manager.find_user(source.user)
        security_manager.add_permission_role(
            user.roles[0], security_manager.find_permission_view_menu("all_datasource_access", "all_datasource_access")
        )
        for name in ("can_read", "can_write"):
            for view in ("Chart", "Dataset", "ChartDataRestApi"):
                if permission := security_manager.find_permission_view_menu(name, view):
                    security_manager.add_permission_role(user.roles[0], permission)
    login = {"user": source.user, "password": "a password of some length"}
    answers = [chart(superset_app, source.orders, YEAR, **login)["data"]]
    one = make()
    for _ in range(2):
        answers.append(chart(superset_app, source.orders, YEAR, **login)["data"])
        until(partial(_is_idle, one))
    with heard() as events:
        answers.append(chart(superset_app, source.orders, YEAR, **login)["data"])
    assert "EXTRACT" not in events[0].sent[0] and "region 7" in events[0].sent[0]
    assert all(answer == answers[0] for answer in answers) and 0 < answers[0][0]["n"] < 2000


def test_off_is_off(superset_app: InProcess, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: with nothing switched on no substitute is made, and PostgreSQL gets the very bytes that it gets from
    Superset without the seam."""
    from superset.models.core import Database

    assert substitutes.substitutes == ()
    monkeypatch.setattr(source_queries, "_substituted", None)  # nothing is made or asked: whatever does fails the chart
    queries: list[bytes] = []
    here = threading.get_ident()

    class Recording(psycopg2.extensions.cursor):  # type: ignore[misc]
        def execute(self, query: Any, values: Any = None) -> None:
            super().execute(query, values)
            if threading.get_ident() == here:
                queries.append(self.query)

    def connected(uri: Any, params: dict[str, Any], *_: Any) -> tuple[Any, dict[str, Any]]:
        return uri, {**params, "connect_args": {**params.get("connect_args", {}), "cursor_factory": Recording}}

    monkeypatch.setitem(superset_app.app.config, "DB_CONNECTION_MUTATOR", connected)
    charts: list[tuple[int, Any, dict[str, Any]]] = [(source.orders, extras, {}) for extras in (YEAR, AS_TEXT, DECIMAL)]
    charts += [(virtual(superset_app, source), None, GROUPED)]
    texts: list[list[bytes]] = []
    for get_df in (Database.get_df, Database.get_df.__wrapped__):
        monkeypatch.setattr(Database, "get_df", get_df)
        queries.clear()
        for dataset, extras, query in charts:
            chart(superset_app, dataset, extras, **query)
        texts.append([query for query in queries if query.startswith(b"SELECT\n")])
    assert texts[0] == texts[1] and len(texts[0]) >= len(charts)


class Other:
    """A substitute that answers from a kept table, as of a time, for tables that its text does not name."""

    def __init__(self, as_of_us: int) -> None:
        self.as_of_us, self.answers, self.failures = as_of_us, 0, 0

    def substitution(self, posed: Posed) -> Substitution:
        """See `Substitute`."""
        return Substitution(
            "SELECT 4711 AS n", ("kept",), lambda _cursor: self.as_of_us, tags=frozenset({"table:0:.base"})
        )

    def answered(self, posed: Posed, substitution: Substitution) -> None:
        """See `Substitute`."""
        self.answers += 1

    def failed(self, posed: Posed, substitution: Substitution, reason: str) -> None:
        """See `Substitute`."""
        self.failures += 1


def test_an_answer_is_as_old_as_its_substitute_says(
    superset_app: InProcess, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: what a substitute answers from something that it keeps is stored with that thing's time and tags: a change
    that was told since then is not hidden, and one of the base drops the answer."""
    with superset_app.app.app_context():
        charts = chart_region(superset_app.app)
    before = int(charts.stamp({"table:0:.base"}) * 1e6)
    monkeypatch.setattr(substitutes, "substitutes", (kept := Other(before - 1),))
    stale = stored(superset_app, source.orders, {"where": "id = 4"})
    assert not stale() and kept.answers == 2  # it is as of before the change, and so it is not used
    kept.as_of_us = before + 10**12
    fresh = stored(superset_app, source.orders, {"where": "id = 5"})
    assert fresh() and kept.failures == 0
    charts.stamp({"table:0:.base"})
    assert not fresh()

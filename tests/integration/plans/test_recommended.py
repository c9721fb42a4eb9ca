"""`GET /recommendations` and `perf recommend` with all kinds: what is kept of each source, and who may see it."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from typing import Any

import psycopg2
import pytest

from superset_ext.monitor.dashboards.bundle import assets
from superset_ext.plans.indexes import proposals
from superset_ext.plans.tasks import INDEXES, beat_schedule, index_advice_tick
from superset_ext.settings import load
from testing.databases import Databases
from testing.in_process import InProcess
from testing.shop_source import Shop, shop_in

RECOMMENDATIONS = "/api/v1/performance/recommendations"
PASSWORD = "a password of some length"
POSTED = {"analyze-query": {"query": "SELECT 1", "database": 1}, "optimize-query": {"query": "SELECT 1", "database": 1}}


@pytest.fixture(scope="module")
def shop(in_process: InProcess, databases: Databases) -> Iterator[Shop]:
    with databases.empty() as url, shop_in(in_process, url, f"advised {uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_kept(superset_app: InProcess, shop: Shop) -> Iterator[None]:
    """Nothing is advised before a test; after it, what it has built is gone."""
    forget(superset_app)
    yield
    dropped = superset_app.perf("indexes", "drop", "--database", shop.name, "--yes")
    assert dropped.exit_code == 0, dropped.output
    forget(superset_app)


def forget(app: InProcess) -> None:
    app.rows("DELETE FROM superset_ext.advice_log")
    app.rows("DELETE FROM superset_ext.source_look")


def tick(app: InProcess) -> None:
    """Beat's task, as a worker runs it."""
    with app.app.app_context():
        index_advice_tick()


def advised(client: Any, shop: Shop) -> list[dict[str, Any]]:
    answer = client.get(RECOMMENDATIONS)
    assert answer.status_code == 200, answer.text
    return [row for row in answer.json["indexes"] if row["database_id"] == shop.number]


@contextmanager
def away(app: InProcess, shop: Shop) -> Iterator[None]:
    """Within this, Superset's database leads nowhere."""
    set_uri(app, shop, "postgresql://nobody:sesame@127.0.0.1:1/none")
    try:
        yield
    finally:
        set_uri(app, shop, shop.url)


def set_uri(app: InProcess, shop: Shop, uri: str) -> None:
    with app.app.app_context():
        from superset.extensions import db
        from superset.models.core import Database

        db.session.get(Database, shop.number).set_sqlalchemy_uri(uri)
        db.session.commit()


def test_indexes_are_advised_by_beat_and_only_read_by_the_route(superset_app: InProcess, shop: Shop) -> None:
    """Intent: the task asks the source; the route and the command tell what it kept, with size, writes and who gains,
    also while the source is away."""
    client = superset_app.client()
    assert advised(client, shop) == [], "the route asks no source"
    tick(superset_app)
    with away(superset_app, shop):
        (row,) = advised(client, shop)
        text = superset_app.perf("recommend").output
        items = json.loads(superset_app.perf("recommend", "--json").output)
    assert (row["state"], row["table_name"], row["charts"]) == ("proposed", '"public"."sales"', [shop.chart])
    assert 'ON "public"."sales" USING btree ("customer", "placed")' in row["command"]
    assert row["bytes"] > 0 and row["reach_seconds"] == pytest.approx(750.0) and row["datasets"] == [shop.dataset]
    assert row["command"] in text and f"indexes try --database {shop.number}\n" in text
    (item,) = [item for item in items if item["section"] == "index" and item["subject"] == f"database:{shop.number}"]
    assert (item["kind"], item["set"]) == ("proposed", row["command"])
    assert "2024-03-01" not in text + json.dumps(items)


def test_a_source_is_asked_once_a_day_by_one_process(superset_app: InProcess, shop: Shop) -> None:
    """Intent: what is not due is not asked; while the log is young, again before long; one that is away hides no other,
    keeps what is known of it, and says why."""
    tick(superset_app)
    look = "SELECT extract(epoch FROM next_at - looked_at), reason, next_at FROM superset_ext.source_look "
    ((seconds, _, first),) = superset_app.rows(look + "WHERE database_id = %s", (shop.number,))
    assert seconds == pytest.approx(proposals.YOUNG)
    tick(superset_app)
    assert superset_app.rows(look + "WHERE database_id = %s", (shop.number,))[0][2] == first, "nobody looked again"
    superset_app.rows("UPDATE superset_ext.source_look SET next_at = now()")
    with away(superset_app, shop):
        tick(superset_app)
    client = superset_app.client()
    assert len(advised(client, shop)) == 1
    ((_, reason, _),) = superset_app.rows(look + "WHERE database_id = %s", (shop.number,))
    assert "cannot be connected to" in reason and "sesame" not in reason
    assert reason in [row["reason"] for row in client.get(RECOMMENDATIONS).json["looks"]]


def test_a_busy_source_is_not_asked(superset_app: InProcess, shop: Shop) -> None:
    """Intent: where more queries are under way than may be, no plan is asked for, and the next look comes sooner."""
    settings = superset_app.package.settings.model_copy(update={"plans_active": -1})
    with superset_app.app.app_context():
        proposals.look(superset_app.app, superset_app.package.log(), settings)
    assert advised(superset_app.client(), shop) == []
    ((reason, looked),) = superset_app.rows(
        "SELECT reason, looked_at FROM superset_ext.source_look WHERE database_id = %s", (shop.number,)
    )
    assert "queries are under way" in reason and looked is None


def test_from_proposed_to_brought_and_gone(superset_app: InProcess, shop: Shop) -> None:
    """Intent: an index has one row through all its states; what stands is not advised again, and what was dropped is
    advised again with that."""
    client = superset_app.client()

    def states() -> list[str]:
        tick(superset_app)
        superset_app.rows("UPDATE superset_ext.source_look SET next_at = now()")
        return [row["state"] for row in advised(client, shop)]

    assert states() == ["proposed"]
    built = superset_app.perf("indexes", "apply", "--database", shop.name, "--yes", "--json")
    assert built.exit_code == 0, built.output
    assert states() == ["applied"]
    superset_app.rows("UPDATE superset_ext.advice_log SET applied_at = now() - interval '8 days'")
    assert states() == ["brought"]
    (row,) = advised(client, shop)
    assert "nobody has asked in 7 days" in row["reason"]
    assert superset_app.perf("indexes", "drop", "--database", shop.name, "--yes").exit_code == 0
    assert states() == ["proposed", "dropped"]
    assert "dropped before, on " in advised(client, shop)[0]["reason"]
    superset_app.rows("UPDATE superset_ext.advice_log SET state = 'tried', reason = 'slower' WHERE state = 'dropped'")
    assert states() == ["tried"], "what a trial has shown is not advised again before long"


def test_a_proposal_that_serves_no_more_goes(superset_app: InProcess, shop: Shop) -> None:
    """Intent: an index that somebody has built by hand is advised no longer, and neither is one of a database that is
    gone."""
    superset_app.rows(
        "INSERT INTO superset_ext.advice_log (database_id, schema_name, index_name, definition, bytes, fingerprints) "
        "VALUES (2000000, 'public', 'i', 'ON t (a)', 1, '{}')"
    )
    tick(superset_app)
    (row,) = advised(superset_app.client(), shop)
    assert not superset_app.rows("SELECT FROM superset_ext.advice_log WHERE database_id = 2000000")
    with closing(psycopg2.connect(shop.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(row["command"].replace(row["index_name"], "by_hand"))
        superset_app.rows("DELETE FROM superset_ext.source_look")
        try:
            tick(superset_app)
            assert advised(superset_app.client(), shop) == []
        finally:
            cursor.execute("DROP INDEX by_hand")


def test_the_command_looks_when_it_is_told_to(superset_app: InProcess, shop: Shop) -> None:
    """Intent: who does not want to wait for beat has the sources asked."""
    wanted = f"indexes try --database {shop.number}\n"
    assert wanted not in superset_app.perf("recommend").output
    result = superset_app.perf("recommend", "--look")
    assert result.exit_code == 0 and wanted in result.output, result.output


def test_before_the_upgrade_it_is_one_line(superset_app: InProcess, shop: Shop) -> None:
    """Intent: with the tables of an earlier version the answer is a 503, the command's status 1, each with the fix."""
    client = superset_app.client()
    superset_app.rows("ALTER VIEW superset_ext.perf_index_advice RENAME TO perf_index_advice_away")
    try:
        answer, result = client.get(RECOMMENDATIONS), superset_app.perf("recommend")
    finally:
        superset_app.rows("ALTER VIEW superset_ext.perf_index_advice_away RENAME TO perf_index_advice")
    assert answer.status_code == 503 and answer.json["message"].endswith("run: superset perf upgrade")
    assert "\n" not in answer.json["message"]
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.stderr
    assert "run: superset perf upgrade" in result.stderr


@pytest.fixture
def people(superset_app: InProcess, shop: Shop) -> Iterator[dict[str, str]]:
    """Users of all kinds, by what they may do."""
    tail = uuid.uuid4().hex[:6]
    with superset_app.app.app_context():
        names = _add_people(tail, shop)
    yield names
    with superset_app.app.app_context():
        _remove_people(tail)


def _add_people(tail: str, shop: Shop) -> dict[str, str]:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db, security_manager

    def role(name: str, *permissions: tuple[str, str]) -> Any:
        made = security_manager.add_role(f"{name} {tail}")
        for permission in permissions:
            security_manager.add_permission_role(made, security_manager.add_permission_view_menu(*permission))
        return made

    dataset = db.session.get(SqlaTable, shop.dataset)
    gamma, alpha = security_manager.find_role("Gamma"), security_manager.find_role("Alpha")
    read = role("read", ("can_read", "Performance"))
    orders = role("orders", ("datasource_access", dataset.perm))
    database = role("database", ("database_access", dataset.database.perm))
    kinds = {
        "nothing": [role("nothing")], "gamma": [gamma], "alpha": [alpha], "database": [gamma, database],
        "write": [role("write", ("can_write", "Performance"))], "read": [read], "read_gamma": [read, gamma],
        "read_dataset": [read, gamma, orders], "read_database": [read, gamma, database], "read_alpha": [read, alpha],
    }  # fmt: skip
    for name, roles in kinds.items():
        user = f"{name}_{tail}"
        security_manager.add_user(user, name, name, f"{user}@example.org", roles, PASSWORD)
    db.session.commit()
    return {name: f"{name}_{tail}" for name in kinds}


def _remove_people(tail: str) -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.extensions import db, security_manager

    for user in security_manager.get_all_users():
        if user.username.endswith(tail):
            db.session.delete(user)
    for role in security_manager.get_all_roles():
        if role.name.endswith(tail):
            db.session.delete(role)
    db.session.commit()


_PLAN = """
INSERT INTO superset_ext.query_plan (
    fingerprint, database_id, duration_ms, version, cost, rows, shape, plan, findings, considered, rewrites
) VALUES ('of the shop', %s, 2000, 180000, 1, 1, 's', '{}', %s, '[]', %s)
"""
_FINDING = [{"kind": "spilled", "evidence": "e", "advice": "a", "next_step": "n", "gain": 0.5, "sure": "likely"}]
_REWRITE = {
    "applied": [{"rule": "not_in", "automatic": False, "changed": ["c"], "times": 2.0}], "only_below_rows": None,
    "cost": 10.0, "cost_after": 5.0,
}  # fmt: skip
_NEED = """
INSERT INTO superset_ext.upkeep_finding
SELECT %s, 1000, now(), now(), 'locks', 'notice', 'session 1', '', '{}', '', ''
"""
OF_SOURCES = ("indexes", "rewrites", "findings", "upkeep", "looks")


@pytest.fixture
def all_kinds(superset_app: InProcess, shop: Shop) -> Iterator[None]:
    """Of the shop, there is something of each kind."""
    tick(superset_app)
    superset_app.rows(_PLAN, (shop.number, json.dumps(_FINDING), json.dumps(_REWRITE)))
    superset_app.rows(_NEED, (shop.number,))
    yield
    superset_app.rows("DELETE FROM superset_ext.query_plan WHERE database_id = %s", (shop.number,))
    superset_app.rows("DELETE FROM superset_ext.upkeep_finding WHERE database_id = %s", (shop.number,))


def test_each_kind_is_told_to_those_who_may_ask_the_database(
    superset_app: InProcess, shop: Shop, people: dict[str, str], all_kinds: None
) -> None:
    """Intent: it takes the permission of the API, and for what concerns a source the access to all of that database;
    one dataset of it does not do, since statements, tables and indexes of others are in these rows."""
    kinds: dict[str, Any] = {}
    for name, user in people.items():
        answer = superset_app.client(user, PASSWORD).get(RECOMMENDATIONS)
        seen = [kind for kind in OF_SOURCES if shop.number in {row["database_id"] for row in answer.json.get(kind, [])}]
        kinds[name] = seen if answer.status_code == 200 else answer.status_code
    every = list(OF_SOURCES)
    reads = {"read": [], "read_gamma": [], "read_dataset": [], "read_database": every, "read_alpha": every}
    assert kinds == {name: reads.get(name, 403) for name in people}
    assert superset_app.app.test_client().get(RECOMMENDATIONS).status_code == 401


@contextmanager
def guests(app: InProcess, monkeypatch: pytest.MonkeyPatch, *permissions: tuple[str, str]) -> Iterator[Any]:
    """A client with a guest's token, whose role has these permissions beside those of the embedded pages."""
    from superset.extensions import db, feature_flag_manager, security_manager

    name = f"guests {uuid.uuid4().hex[:6]}"
    monkeypatch.setitem(feature_flag_manager._feature_flags, "EMBEDDED_SUPERSET", True)
    monkeypatch.setitem(app.app.config, "GUEST_ROLE_NAME", name)
    monkeypatch.setitem(app.app.config, "GUEST_TOKEN_JWT_SECRET", "the secret of guests, long enough for a key")
    with app.app.test_request_context():
        role = security_manager.add_role(name)
        for permission in permissions:
            security_manager.add_permission_role(role, security_manager.add_permission_view_menu(*permission))
        token = security_manager.create_guest_access_token(
            {"username": "guest"}, [{"type": "dashboard", "id": str(uuid.uuid4())}], []
        )
    client = app.app.test_client()
    header = app.app.config["GUEST_TOKEN_HEADER_NAME"].upper().replace("-", "_")
    client.environ_base[f"HTTP_{header}"] = token if isinstance(token, str) else token.decode()
    yield client
    with app.app.app_context():
        db.session.delete(security_manager.find_role(name))
        db.session.commit()


def test_guests_are_told_nothing(
    superset_app: InProcess, shop: Shop, all_kinds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a guest of an embedded page gets neither the list nor an answer to a query; where an administrator has
    given guests the permission to read it, nothing of a database comes with that."""
    with guests(superset_app, monkeypatch) as client:
        statuses = [client.get(RECOMMENDATIONS).status_code]
        statuses += [client.post(f"/api/v1/performance/{path}", json=body).status_code for path, body in POSTED.items()]
        assert statuses == [403, 403, 403]
    with guests(superset_app, monkeypatch, ("can_read", "Performance"), ("can_write", "Performance")) as client:
        answer = client.get(RECOMMENDATIONS)
        assert answer.status_code == 200 and not any(answer.json[kind] for kind in OF_SOURCES)
        for path, body in POSTED.items():
            posted = client.post(f"/api/v1/performance/{path}", json=body)
            assert posted.status_code in (400, 403), posted.text  # a guest has no CSRF token, and no SQL Lab


def test_what_concerns_a_chart_is_told_to_those_who_may_see_it(
    superset_app: InProcess, shop: Shop, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: names of datasets, charts and dashboards are not told to those to whom Superset does not show them."""
    from superset_ext.plans import everything

    subjects = [
        f"dataset:{shop.dataset}",
        f"chart:{shop.chart}",
        "dataset:2000000",
        "dashboard:2000000",
        "region:thumbnails",
    ]

    class Advice:
        def __init__(self, subject: str) -> None:
            self.subject = subject

        def as_dict(self) -> dict[str, Any]:
            return {"subject": self.subject}

    monkeypatch.setattr(everything, "recommend", lambda *_: [Advice(subject) for subject in subjects])

    def seen(client: Any) -> list[str]:
        return [row["subject"] for row in client.get(RECOMMENDATIONS).json["result"]]

    assert seen(superset_app.client()) == subjects
    assert seen(superset_app.client(people["read_dataset"], PASSWORD)) == [*subjects[:2], subjects[4]]
    assert seen(superset_app.client(people["read_gamma"], PASSWORD)) == subjects[4:]


def test_the_name_of_a_chart_leads_to_its_plan(superset_app: InProcess, shop: Shop, all_kinds: None) -> None:
    """Intent: on the dashboard a click on a chart shows why it is slow; a name that is HTML is text there too."""
    hostile = '<img src=x onerror="alert(1)">'
    superset_app.rows(
        "INSERT INTO superset_ext.object_name VALUES ('chart', %s, %s) ON CONFLICT (kind, id) DO UPDATE SET name = %s",
        (shop.chart, hostile, hostile),
    )
    superset_app.rows(
        "INSERT INTO superset_ext.query_daily (day, fingerprint, database_id, chart_id, runs, duration_ms_sum) "
        "VALUES (superset_ext.utc_today(), 'of the shop', %s, %s, 1, 1000)",
        (shop.number, shop.chart),
    )
    try:
        for view, column in (("perf_finding", "chart_plan"), ("perf_proposal", "who")):
            (asset,) = [asset for asset in assets() if asset.config.get("table_name") == view]
            (expression,) = [item["expression"] for item in asset.config["columns"] if item["column_name"] == column]
            query = f"SELECT {expression} FROM superset_ext.{view} WHERE fingerprint = 'of the shop'"
            ((cell,),) = superset_app.rows(query.replace("%", "%%"))
            assert cell.startswith('<a href="../../../api/v1/performance/plans/of the shop">&lt;img'), cell
            assert cell.count("<") == 2 and cell.endswith("</a>")
    finally:
        superset_app.rows("DELETE FROM superset_ext.object_name WHERE name = %s", (hostile,))
        superset_app.rows("DELETE FROM superset_ext.query_daily WHERE fingerprint = 'of the shop'")


def test_advice_stands_by_what_it_saves(superset_app: InProcess, shop: Shop, all_kinds: None) -> None:
    """Intent: on the dashboard indexes and other texts stand in one order, each with its state; what was tried in vain
    or is gone comes last, however much it was to save."""
    superset_app.rows(
        "INSERT INTO superset_ext.advice_log (database_id, schema_name, index_name, definition, bytes, fingerprints, "
        "seconds, state) SELECT %s, 'public', 'i' || s, 'ON t (a)', 1, '{}', s, CASE s WHEN 9000 THEN 'tried' "
        "WHEN 8000 THEN 'dropped' WHEN 7000 THEN 'brought' ELSE 'applied' END "
        "FROM unnest(ARRAY[9000, 8000, 7000, 6000]) AS s",
        (shop.number,),
    )
    shown = "SELECT state, seconds FROM superset_ext.perf_proposal WHERE database_id = %s ORDER BY place"
    rows = superset_app.rows(shown, (shop.number,))
    advised_seconds = rows[2][1]  # of the index that the source's planner, or a scratch server's, finds worth it
    assert 600.0 < advised_seconds < 750.0
    assert rows == [
        ("brought", 7000.0), ("applied", 6000.0), ("proposed", advised_seconds), ("proposed", 0.0), ("tried", 9000.0),
        ("dropped", 8000.0),
    ]  # fmt: skip


_NAMED = "INSERT INTO superset_ext.object_name (kind, id, name) VALUES ('database', %s, %s)"
_STEPS = "SELECT rule, next_step FROM superset_ext.perf_rewrite WHERE database_id = %s ORDER BY rule"


def test_what_to_do_about_another_text_can_be_done(superset_app: InProcess) -> None:
    """Intent: where a rule always helps, what stands there is the setting that allows it on this database, whatever
    that is called, as a shell takes it; elsewhere the command that compares both texts."""
    number, name = 10**6, 'Anna\'s "own"'
    rules = [{"rule": rule, "automatic": rule != "not_in", "changed": ["c"], "times": 2.0}
             for rule in ("not_in", "unneeded_order")]  # fmt: skip
    try:
        superset_app.rows(_NAMED, (number, name))
        superset_app.rows(_PLAN, (number, "[]", json.dumps(_REWRITE | {"applied": rules})))
        steps = dict(superset_app.rows(_STEPS, (number,)))
    finally:
        superset_app.rows("DELETE FROM superset_ext.query_plan WHERE database_id = %s", (number,))
        superset_app.rows("DELETE FROM superset_ext.object_name WHERE kind = 'database' AND id = %s", (number,))
    assert steps["not_in"].startswith(
        "superset perf explain --fingerprint of the shop, and superset perf rewrite --run"
    )
    (word,) = shlex.split(steps["unneeded_order"])
    variable, _, value = word.partition("=")
    own = {"SUPERSET_EXT_REDIS_URL": "redis://cache:6379", "SUPERSET_EXT_DATABASE_URL": "postgresql://db/superset"}
    (allowed,) = load({**own, variable: value}).rewrites
    assert allowed.rules == ("unneeded_order",) and fnmatchcase(name.casefold(), str(allowed.database).casefold())


_USED = """
INSERT INTO superset_ext.rewrite_use (dataset_id, fingerprint, rules, database_id, state, reason, runs, stock_ms,
    rewritten_ms)
VALUES (1, 'of the shop', '{not_in,unneeded_order}', %s, %s, %s, 4, 800, 40)
"""


_LONG_AGO = "UPDATE superset_ext.rewrite_use SET changed_at = now() - interval '8 days' WHERE database_id = %s"


@pytest.mark.parametrize(
    ("state", "reason", "shown", "note"),
    [
        ("used", "", "applied", "c; 4 of 4 runs of both texts gave the same rows, in 200.0 ms and 10.0 ms on average"),
        ("off", "it is not quicker", "tried", "c; it is not quicker"),
        ("trying", "", "proposed", "c; helps often"),
    ],
)
def test_what_is_in_use_is_not_proposed(
    superset_app: InProcess, shop: Shop, all_kinds: None, state: str, reason: str, shown: str, note: str
) -> None:
    """Intent: another text that charts are answered by, or that was tried in vain, is no advice any more; the dashboard
    says what became of it. What nobody has used for a week, as where the setting is gone, is advice again."""
    texts = "SELECT state, note FROM superset_ext.perf_proposal WHERE database_id = %s AND kind = 'Other text'"
    try:
        superset_app.rows(_USED, (shop.number, state, reason))
        assert superset_app.rows(texts, (shop.number,)) == [(shown, note)]
        rewrites = superset_app.client().get(RECOMMENDATIONS).json["rewrites"]
        assert (shop.number in {row["database_id"] for row in rewrites}) is (shown == "proposed")
        superset_app.rows(_LONG_AGO, (shop.number,))
        assert superset_app.rows(texts, (shop.number,)) == [("proposed", "c; helps often")]
    finally:
        superset_app.rows("DELETE FROM superset_ext.rewrite_use WHERE database_id = %s", (shop.number,))


def test_plans_off_takes_it_out_of_beat() -> None:
    """Intent: SUPERSET_EXT_PLANS=false asks no source by itself."""
    own = {"SUPERSET_EXT_REDIS_URL": "redis://cache:6379", "SUPERSET_EXT_DATABASE_URL": "postgresql://db/superset"}
    assert INDEXES in beat_schedule(load(own))
    assert beat_schedule(load({**own, "SUPERSET_EXT_PLANS": "false"})) == {}

"""`superset perf upkeep` in a real Superset, on a real source."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from superset_ext.plans.tasks import UPKEEP, beat_schedule, upkeep_tick
from superset_ext.plans.upkeep import kept as upkeep_rows
from superset_ext.settings import load
from testing.counted import count_now
from testing.databases import Databases
from testing.in_process import InProcess
from testing.upkeep import session, subjects

NAME = f"kept up {uuid.uuid4().hex[:8]}"
_TABLES = """
CREATE TABLE never (id int) WITH (autovacuum_enabled = off);
INSERT INTO never SELECT generate_series(1, 5000);
CREATE TABLE dead (id int) WITH (autovacuum_enabled = off);
INSERT INTO dead SELECT generate_series(1, 40000);
ANALYZE dead;
DELETE FROM dead WHERE id % 2 = 0;
ALTER TABLE dead ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
"""


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[str]:
    """The URL of a source that Superset knows by `NAME`, beside one of another kind and one that is away."""
    with databases.empty() as url, in_process.awake():
        with session(url) as cursor:
            cursor.execute(_TABLES)
            count_now(cursor)
        with in_process.app.app_context():
            _make(
                {NAME: url, f"{NAME} away": "postgresql://nobody:secret@127.0.0.1:1/none", f"{NAME} other": "sqlite://"}
            )
        yield url
        with in_process.app.app_context():
            _unmake()


def _make(urls: dict[str, str]) -> None:
    from superset.extensions import db
    from superset.models.core import Database

    for name, url in urls.items():
        database = Database(database_name=name)
        database.set_sqlalchemy_uri(url)
        db.session.add(database)
    db.session.commit()


def _unmake() -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.extensions import db
    from superset.models.core import Database

    for database in db.session.query(Database).filter(Database.database_name.startswith(NAME)).all():
        db.session.delete(database)
    db.session.commit()


def upkeep(app: InProcess, *words: str) -> Any:
    result = app.perf("upkeep", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.output) if "--json" in words else result.output


def test_what_is_most_urgent_stands_first(superset_app: InProcess, source: str) -> None:
    """Intent: a person reads what to do by severity, with the statement for it."""
    (result,) = upkeep(superset_app, "--database", NAME, "--json")
    severities = [finding["severity"] for finding in result["findings"]]
    assert severities == sorted(severities, key=["critical", "warning", "notice"].index)
    text = upkeep(superset_app, "--database", NAME)
    assert "ANALYZE public.never;" in text and "[autovacuum_behind]" in text and "VALIDATE CONSTRAINT" in text


def test_a_source_that_is_away_hides_no_other(superset_app: InProcess, source: str) -> None:
    """Intent: without a name every PostgreSQL is looked at, and one that does not answer says so in its place."""
    results = {result["database"]: result for result in upkeep(superset_app, "--json")}
    assert results[NAME]["findings"] and f"{NAME} other" not in results
    assert "cannot be connected to" in results[f"{NAME} away"]["error"] and "secret" not in json.dumps(results)


def test_another_engine_is_refused_with_a_line(superset_app: InProcess, source: str) -> None:
    """Intent: what cannot be looked at is named, with the reason; so is a database that there is not."""
    for name, reason in ((f"{NAME} other", "is sqlite"), ("no such one", "Superset has no database")):
        result = superset_app.perf("upkeep", "--database", name)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1), result.output
        assert reason in result.output


def test_nothing_is_run_without_a_yes(superset_app: InProcess, source: str) -> None:
    """Intent: the statements that may be run are printed, those that block somebody are not among them."""
    wanted = ["VACUUM public.dead", "ANALYZE public.never", "ANALYZE public.dead"]
    assert upkeep(superset_app, "run", NAME, "--json")["would_run"] == wanted
    assert "Nothing was run" in upkeep(superset_app, "run", NAME, "--kind", "statistics_missing")
    assert subjects(source, "statistics_missing") == ["public.never"]


def test_what_is_safe_is_run(superset_app: InProcess, source: str) -> None:
    """Intent: with a yes, what is wrong is mended, of the kind that was named alone; then there is nothing to run."""
    words = ("run", NAME, "--kind", "statistics_missing", "--yes", "--json")
    assert upkeep(superset_app, *words) == [{"command": "ANALYZE public.never", "error": None}]
    assert not subjects(source, "statistics_missing") and subjects(source, "autovacuum_behind") == ["public.dead"]
    assert "Nothing is to be run" in upkeep(superset_app, "run", NAME, "--kind", "statistics_missing", "--yes")


def test_a_role_that_may_not_is_told_so(superset_app: InProcess, source: str) -> None:
    """Intent: PostgreSQL only warns where a table is not the role's own; that is a failure with its reason."""
    role = f"guest_{uuid.uuid4().hex[:8]}"
    database = source.rpartition("/")[2].partition("?")[0]
    with session(source) as cursor:
        cursor.execute(f"CREATE ROLE {role}; ALTER ROLE postgres IN DATABASE {database} SET role = '{role}'")
        try:
            result = superset_app.perf("upkeep", "run", NAME, "--kind", "autovacuum_behind", "--yes")
        finally:
            cursor.execute(f"ALTER ROLE postgres IN DATABASE {database} RESET role; DROP ROLE {role}")
    refusal = "permission denied" in result.output or "only table or database owner" in result.output  # before 17
    assert result.exit_code == 1 and refusal and "1 of 1 statements failed" in result.output
    assert subjects(source, "autovacuum_behind") == ["public.dead"]


RECOMMENDATIONS = "/api/v1/performance/recommendations"
_OF_NONE = """
INSERT INTO superset_ext.upkeep_finding
SELECT 2000000, 1, now(), now(), 'locks', 'notice', 'session 1', '', '{}', '', ''
"""
_PLAN = """
INSERT INTO superset_ext.query_plan (
    fingerprint, taken_at, database_id, duration_ms, version, cost, rows, shape, plan, findings, considered
) VALUES (%(f)s, now() - make_interval(hours => %(hours)s), %(id)s, 2000, 180000, 1, 1, 's', '{}', %(findings)s, '[]')
"""
_DAY = """
INSERT INTO superset_ext.query_daily (day, fingerprint, database_id, chart_id, dataset_id, runs, duration_ms_sum)
VALUES (superset_ext.utc_today(), %s, %s, 77, 78, 10, %s)
"""


def look(app: InProcess, settings: Any = None) -> int:
    with app.app.app_context():
        return upkeep_rows.look(app.app, app.package.log(), settings or app.package.settings)


def number_of(app: InProcess, name: str) -> int:
    with app.app.app_context():
        from superset.extensions import db
        from superset.models.core import Database

        return int(db.session.query(Database.id).filter_by(database_name=name).scalar())


def test_what_is_seen_is_kept_and_who_may_see_it(superset_app: InProcess, source: str) -> None:
    """Intent: a look replaces the one before, keeps since when it has been so, and forgets databases that are gone;
    over REST it is told to those who may ask the database, and to nobody else."""
    superset_app.rows(_OF_NONE)
    assert look(superset_app) >= 1
    number = number_of(superset_app, NAME)
    rows = "SELECT kind, subject, since FROM superset_ext.upkeep_finding WHERE database_id = %s ORDER BY place"
    first = superset_app.rows(rows, (number,))
    assert ("autovacuum_behind", "public.dead") in {row[:2] for row in first}
    look(superset_app)
    assert superset_app.rows(rows, (number,)) == first
    assert not superset_app.rows("SELECT FROM superset_ext.upkeep_finding WHERE database_id = 2000000")
    shown = superset_app.rows("SELECT severity FROM superset_ext.perf_upkeep ORDER BY place")
    assert [row[0] for row in shown] == sorted((row[0] for row in shown), key=["critical", "warning", "notice"].index)
    listed = superset_app.client().get(RECOMMENDATIONS).json["upkeep"]
    assert ("autovacuum_behind", number) in {(row["kind"], row["database_id"]) for row in listed}
    with reader(superset_app) as client:
        answer = client.get(RECOMMENDATIONS)
        assert (answer.status_code, answer.json["upkeep"], answer.json["findings"]) == (200, [], [])


def test_a_busy_source_is_left_alone(superset_app: InProcess, source: str) -> None:
    """Intent: where more queries are under way than may be, nothing is asked, and what was known stays."""
    look(superset_app)
    before = superset_app.rows("SELECT * FROM superset_ext.upkeep_finding ORDER BY database_id, place")
    with session(source) as busy:
        busy.execute("SELECT pg_backend_pid()")
        settings = superset_app.package.settings.model_copy(update={"plans_active": -1})
        assert look(superset_app, settings) == 0
    assert superset_app.rows("SELECT * FROM superset_ext.upkeep_finding ORDER BY database_id, place") == before


def test_what_plans_show_by_what_it_can_save(superset_app: InProcess, source: str) -> None:
    """Intent: of each statement the latest plan counts, beside the chart that it took most time for; what can save most
    seconds is first, for whoever may ask the database."""
    number, log = number_of(superset_app, NAME), superset_app
    marks = [f"{uuid.uuid4().hex}" for _ in range(2)]
    names = ("kind", "evidence", "advice", "gain", "sure", "next_step", "node", "numbers")
    for mark, seconds, hours, gain, kind in (
        (marks[0], 10_000, 5, 0.9, "old"), (marks[0], 10_000, 1, 0.5, "spilled"), (marks[1], 90_000, 1, 0.3, "barrier"),
    ):  # fmt: skip
        finding = dict(zip(names, (kind, "seen", "do", gain, "likely", "next", 1, {}), strict=True))
        log.rows(_PLAN, {"f": mark, "hours": hours, "id": number, "findings": json.dumps([finding])})
        if hours == 1:
            log.rows(_DAY, (mark, number, seconds))
    try:
        listed = [row for row in log.client().get(RECOMMENDATIONS).json["findings"] if row["fingerprint"] in marks]
        with reader(log) as client:
            hidden = client.get(RECOMMENDATIONS).json["findings"]
    finally:
        log.rows("DELETE FROM superset_ext.query_plan WHERE fingerprint = ANY(%s)", (marks,))
        log.rows("DELETE FROM superset_ext.query_daily WHERE fingerprint = ANY(%s)", (marks,))
    assert [(row["kind"], row["seconds_at_most"]) for row in listed] == [("barrier", 27.0), ("spilled", 5.0)]
    assert {row["chart"] for row in listed} == {"#77"} and not hidden


@contextmanager
def reader(app: InProcess) -> Iterator[Any]:
    """A client of somebody who may read the API, and no database."""
    name, secret = f"u{uuid.uuid4().hex[:8]}", "a password of some length"
    with app.app.app_context():
        from superset.extensions import db, security_manager

        role = security_manager.add_role(name)
        menu = security_manager.add_permission_view_menu("can_read", "Performance")
        security_manager.add_permission_role(role, menu)
        security_manager.add_user(name, "S", "B", f"{name}@example.org", role, secret)
    yield app.client(name, secret)
    with app.app.app_context():
        db.session.delete(security_manager.find_user(name))
        db.session.delete(security_manager.find_role(name))
        db.session.commit()


def test_beat_begins_soon_and_looks_once_an_hour(superset_app: InProcess, source: str) -> None:
    """Intent: the first look comes within minutes of beat's start, and however often beat or a worker starts, a source
    is looked at once an hour."""
    superset_app.rows("DELETE FROM superset_ext.source_look")
    looked_at = "SELECT looked_at FROM superset_ext.source_look WHERE topic = 'upkeep' AND database_id = %s"
    number, times = number_of(superset_app, NAME), []
    for _ in range(2):
        with superset_app.app.app_context():
            upkeep_tick()
        times.append(superset_app.rows(looked_at, (number,)))
    assert times[0] == times[1] and times[0][0][0] is not None
    superset_app.rows("UPDATE superset_ext.source_look SET next_at = now() WHERE database_id = %s", (number,))
    with superset_app.app.app_context():
        upkeep_tick()
    assert superset_app.rows(looked_at, (number,)) > times[0]


def test_beat_looks_unless_plans_are_off() -> None:
    """Intent: SUPERSET_EXT_PLANS=false takes the task out of the schedule, which is asked every few minutes."""
    own = {"SUPERSET_EXT_REDIS_URL": "redis://cache:6379", "SUPERSET_EXT_DATABASE_URL": "postgresql://db/superset"}
    assert beat_schedule(load(own))[UPKEEP]["schedule"] == 300.0
    assert beat_schedule(load({**own, "SUPERSET_EXT_PLANS": "false"})) == {}

"""`superset perf upkeep` in a real Superset, on a real source."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

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
SELECT pg_stat_force_next_flush();
"""


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[str]:
    """The URL of a source that Superset knows by `NAME`, beside one of another kind and one that is away."""
    with databases.empty() as url, in_process.awake():
        with session(url) as cursor:
            cursor.execute(_TABLES)
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
    assert (
        result.exit_code == 1 and "permission denied" in result.output and "1 of 1 statements failed" in result.output
    )
    assert subjects(source, "autovacuum_behind") == ["public.dead"]

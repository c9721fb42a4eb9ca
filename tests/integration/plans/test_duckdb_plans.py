"""Plans and findings of DuckDB sources: the engine itself, and a database of Superset by duckdb-engine."""

# ruff: noqa: E501  (SQL that is easier to read in one line)
from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from superset_ext.errors import PlanError
from superset_ext.events import Queried, Scope, queried
from superset_ext.plans import taking
from superset_ext.plans.asked import Asked
from superset_ext.plans.explain_duckdb import explain_duckdb
from superset_ext.plans.findings import DUCKDB
from superset_ext.plans.taking import PlanTaker
from superset_ext.plans.tree import plan_of
from testing.in_process import InProcess
from testing.plans import kinds, reasons
from testing.plans_duckdb import fill, reviewed

MISSING = "duckdb or duckdb-engine is missing; run: make venv-dev"
pytestmark = pytest.mark.skipif(find_spec("duckdb") is None and os.environ.get("CI") != "true", reason=MISSING)
needs_engine = pytest.mark.skipif(find_spec("duckdb_engine") is None and os.environ.get("CI") != "true", reason=MISSING)
TIMES = re.compile(r"'ms': [\d.e-]+|[\d.,]+ ms|'execution_ms': [\d.e-]+|'shape': '\w+'")
SECRETS = ("hush", "4711", "2031", "815")
SORTED = "SELECT sum(length(note)) FROM (SELECT note, city FROM orders ORDER BY note {}) AS virtual_table"
MADE = ("SELECT count(*) FROM (SELECT c.name, o.customer, sum(o.city) AS total FROM orders AS o JOIN customers AS c"
        " ON c.id = o.customer GROUP BY c.name, o.customer) AS virtual_table")  # fmt: skip
MANY, FEW = Asked(charts=5, seconds=60.0, alike=4, alike_charts=4), Asked(charts=2, alike=2, alike_charts=2)
# A rule, a query that has it, one that nearly has it, a part of why not, whether they are run, and who asks.
PAIRS: tuple[tuple[str, str, str, str, bool, Asked | None, Asked | None], ...] = (
    ("groups_not_skipped", "SELECT max(note) FROM orders WHERE mixed < 50", "SELECT max(note) FROM orders WHERE mixed > 50", "most groups", True, None, None),
    ("groups_not_skipped", "SELECT max(note) FROM orders WHERE mixed = 50", "SELECT max(note) FROM orders WHERE n < 50", "", True, None, None),
    ("groups_not_skipped", "SELECT max(note) FROM orders WHERE mixed = 50", "SELECT max(note) FROM orders WHERE n + mixed = 50", "", True, None, None),
    ("not_in_nullable", "SELECT count(*) FROM orders WHERE customer NOT IN (SELECT referrer FROM customers)",
     "SELECT count(*) FROM orders WHERE customer NOT IN (SELECT id FROM customers)", "no NULL", False, None, None),
    ("unneeded_order", SORTED.format(""), SORTED.format("LIMIT 1000"), "chooses its rows", True, None, None),
    ("unneeded_order", SORTED.format(""), "SELECT string_agg(note, ',') FROM (SELECT note FROM orders ORDER BY note) AS v", "depend on the order", False, None, None),
    ("unneeded_distinct", "SELECT city, max(note) FROM (SELECT DISTINCT city, note FROM orders) AS v GROUP BY city",
     "SELECT city, count(note) FROM (SELECT DISTINCT city, note FROM orders) AS v GROUP BY city", "counts, adds up", True, None, None),
    ("unneeded_distinct", "SELECT count(*) FROM (SELECT DISTINCT id, name FROM customers) AS v",
     "SELECT count(*) FROM (SELECT DISTINCT referrer, name FROM customers) AS v", "counts, adds up", False, None, None),
    ("shared_subquery", MADE, "SELECT count(*) FROM (SELECT n, note FROM orders WHERE city > 7) AS v", "no time", False, MANY, MANY),
    ("shared_subquery", MADE, MADE, "2 charts ask it", False, MANY, FEW),
    ("other_filters", "SELECT count(*) FROM orders WHERE city = 7", "SELECT count(*) FROM orders WHERE city = 7", "too few", False, MANY, FEW),
)  # fmt: skip
HOSTILE = (
    "SELECT count(*) FROM orders WHERE note = 'hush' AND n IN (4711, 815) OR note LIKE '%hush%' AND city < 4711.5",
    "SELECT count(*) FROM customers WHERE placed > '2031-04-05' AND details->>'hush' = 'hush' AND starts_with(name, 'hush')",
    "SELECT CASE WHEN note = 'hush' THEN 4711 END AS \"hush 4711\", count(*) FROM orders GROUP BY 1 ORDER BY \"hush 4711\"",
    "WITH hush AS MATERIALIZED (SELECT city, count(*) AS n FROM orders GROUP BY city) SELECT * FROM hush AS a JOIN hush AS b ON a.city = b.city WHERE a.n > 4711",
    "SELECT * FROM range(4711, 4815) AS hush WHERE hush.range = 4712", "SELECT * FROM (VALUES (4711, 'hush')) AS v (n, hush) WHERE n > 815",
    "SELECT note, count(*) FROM orders AS a JOIN few AS b USING (note) WHERE a.note <> 'hush' || b.city GROUP BY note || 'hush', note ORDER BY 2 LIMIT 4711 OFFSET 815",
    "SELECT list_contains(['hush', 'hush2'], note) AS c, struct_pack(hush := 4711) AS s FROM few WHERE note SIMILAR TO 'hush.*' OR n BETWEEN 815 AND 4711",
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("duckdb") / "source.duckdb"
    fill(file)
    return file


@pytest.fixture
def connection(file: Path) -> Iterator[Any]:
    import duckdb

    with duckdb.connect(str(file), read_only=False) as made:
        made.execute("SET threads = 1")
        yield made


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{PAIRS.index(pair)}")
def test_a_plan_that_has_it_and_one_that_nearly_has_it(connection: Any, pair: tuple[Any, ...]) -> None:
    """Intent: a rule speaks where it should, and is silent, with its reason, where a person would not follow it."""
    kind, has, nearly, why, analyze, asked, else_asked = pair
    review, other = reviewed(connection, has, analyze, asked), reviewed(connection, nearly, analyze, else_asked)
    assert kind in kinds(review), review.text()
    assert kind not in kinds(other), other.text()
    assert not why or any(why in reason for reason in reasons(other, kind)), other.text()


def test_every_rule_has_a_pair() -> None:
    """Intent: nobody has a rule judge DuckDB's plans without a plan that has it and one that nearly has it."""
    assert {pair[0] for pair in PAIRS} | {"plan_changed"} == {rule.__name__ for rule in DUCKDB}


@pytest.mark.parametrize("sql", HOSTILE)
def test_no_value_is_in_a_plan(connection: Any, sql: str) -> None:
    """Intent: neither the tree, nor its drawing, nor what is advised repeats a value or a label."""
    review = reviewed(connection, sql, analyze=True)
    text = TIMES.sub("", f"{review.as_dict()} {review.text()}")
    assert not [secret for secret in SECRETS if re.search(rf"(?<![\d.,]){secret}", text)], review.text()


def test_the_tree(connection: Any) -> None:
    """Intent: steps, tables, conditions, expected and returned rows; shares that add up; and its JSON is the plan."""
    plan = reviewed(connection, "SELECT city, count(*) FROM orders WHERE mixed < 50 GROUP BY city", True).plan
    (scan,) = [node for node in plan.nodes() if node.kind == "Seq Scan"]
    assert (scan.schema, scan.relation) == ("main", "orders") and "mixed" in scan.conditions["Filter"]
    assert scan.actual is not None and 20 < scan.actual.rows < 100 and scan.number_of("Rows Scanned") == 1_000_000
    assert sum(plan.share(node) for node in plan.nodes()) == pytest.approx(1.0)
    assert plan.version >= 10_000 and plan_of(plan.as_dict()) == plan
    expected = reviewed(connection, "SELECT city, count(*) FROM orders WHERE mixed < 50 GROUP BY city").plan
    assert sum(expected.share(node) for node in expected.nodes()) == pytest.approx(1.0)
    assert expected.root.actual is None and expected.shape == plan.shape


@pytest.mark.parametrize(
    "sql, reason",
    [
        ("SELECT nextval('counter')", "read-only"), ("SELECT next_one(1)", "read-only"), ("SELECT random()", "random"),
        ("SELECT sleep_ms(1)", "sleep_ms"), ("SELECT twice(n) FROM few", "twice"),
        ("DELETE FROM few", "give one SELECT"), ("SELECT 1; SELECT 2", "2 statements"), ("COPY few TO 'x'", "COPY"),
        ("SELECT nothing FROM few", "does not explain it"),
    ],
)  # fmt: skip
def test_what_is_refused(connection: Any, sql: str, reason: str) -> None:
    """Intent: what may do more than read is refused with a line, and the connection serves on."""
    with pytest.raises(PlanError, match=reason):
        explain_duckdb(connection, sql, 10.0, analyze=True)
    assert connection.execute("SELECT count(*) FROM few").fetchone() == (500,)
    connection.execute("BEGIN")  # no transaction was left open
    connection.execute("ROLLBACK")


def test_what_takes_too_long_is_interrupted(connection: Any) -> None:
    """Intent: a query that would run for hours ends with its time, with a line that says so."""
    with pytest.raises(PlanError, match="did not finish within"):
        explain_duckdb(connection, "SELECT count(*) FROM range(1000000000000) AS r(n) WHERE n % 7 = 3", 0.2, True)
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def database(superset_app: InProcess, file: Path) -> Iterator[tuple[str, int]]:
    """The file as a database of Superset: its name and its id."""
    with superset_app.app.app_context():
        from superset.extensions import db
        from superset.models.core import Database

        made = Database(database_name=f"duckdb {uuid.uuid4().hex[:8]}", sqlalchemy_uri=f"duckdb:///{file}")
        db.session.add(made)
        db.session.commit()
        named = made.database_name, made.id
    yield named
    with superset_app.app.app_context():
        db.session.delete(db.session.get(Database, named[1]))
        db.session.commit()


@needs_engine
def test_by_the_command(superset_app: InProcess, database: tuple[str, int]) -> None:
    """Intent: `superset perf explain --database` shows the plan of a DuckDB source, and with `--analyze` what it took."""
    words = ("explain", "--database", database[0], "SELECT max(note) FROM orders WHERE mixed = 50", "--analyze")
    result = superset_app.perf(*words)
    assert result.exit_code == 0, result.output
    assert "Seq Scan on orders" in result.output and "[groups_not_skipped]" in result.output
    (review,) = json.loads(superset_app.perf(*words, "--json").output)
    assert review["plan"]["engine"] == "duckdb"
    refused = superset_app.perf("rewrite", "--database", database[0], "SELECT 1")
    assert refused.exit_code != 0 and "this is done for PostgreSQL" in refused.output


@needs_engine
def test_a_slow_query_leaves_its_plan(
    superset_app: InProcess, database: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: plans of slow queries of DuckDB sources are kept as those of PostgreSQL, without values."""
    monkeypatch.setattr(taking, "PATIENCE_SECONDS", 60.0)
    settings = superset_app.package.settings.model_copy(update={"slow_query_ms": 1e-9})
    taker = PlanTaker(superset_app.app, superset_app.package.log(), lambda: None, settings)
    taker.start()
    sql = SORTED.format("") + " WHERE city <> 4711"
    event = Queried(
        "chart", database[1], "duckdb", sql, 900.0, time.monotonic(), Scope(), 1, sent=(sql,), schema="main"
    )
    queried.send("chart", event=event)
    taker.stop()
    taker.flush()
    ((plan, findings),) = superset_app.rows(
        "SELECT plan, findings FROM superset_ext.query_plan WHERE database_id = %s", (database[1],)
    )
    assert plan["engine"] == "duckdb" and "4711" not in str(plan["root"]["children"])
    assert "unneeded_order" in {finding["kind"] for finding in findings}

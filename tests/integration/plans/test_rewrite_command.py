"""`superset perf rewrite` in a real Superset, on a real source."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testing.databases import Databases
from testing.in_process import InProcess
from testing.plans import fill


@dataclass(frozen=True)
class Source:
    """A source that Superset knows: its name, and a chart on a virtual dataset that sorts for nothing."""

    name: str
    chart: int


@pytest.fixture(scope="module")
def source(in_process: InProcess, databases: Databases) -> Iterator[Source]:
    with databases.empty() as url, in_process.awake():
        fill(url)
        with in_process.app.app_context():
            made = _made(url)
        yield made
        with in_process.app.app_context():
            _unmake(made)


def _made(url: str) -> Source:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.slice import Slice

    name = f"rewrites {uuid.uuid4().hex[:8]}"
    database = Database(database_name=name, sqlalchemy_uri=url)
    database.set_sqlalchemy_uri(url)
    sorting = SqlaTable(table_name=name, sql="SELECT * FROM orders ORDER BY note", database=database, schema="public")
    db.session.add_all([database, sorting])
    db.session.flush()
    sorting.fetch_metadata()
    total = {"expressionType": "SQL", "sqlExpression": "SUM(amount)", "label": "total"}
    context = {
        "datasource": {"id": sorting.id, "type": "table"}, "force": False, "result_format": "json",
        "result_type": "full", "queries": [{"columns": ["status"], "metrics": [total], "row_limit": 100,
                                            "orderby": [[total, False]]}],
    }  # fmt: skip
    chart = Slice(
        slice_name=name, viz_type="table", datasource_type="table", datasource_id=sorting.id, params="{}",
        query_context=json.dumps(context),
    )  # fmt: skip
    db.session.add(chart)
    db.session.commit()
    return Source(name, chart.id)


def _unmake(source: Source) -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.slice import Slice

    for model, column in ((Slice, "slice_name"), (SqlaTable, "table_name"), (Database, "database_name")):
        db.session.delete(db.session.query(model).filter_by(**{column: source.name}).one())
        db.session.commit()


def rewrite(app: InProcess, *words: str) -> Any:
    result = app.perf("rewrite", *words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.output)


def test_a_chart_on_a_virtual_dataset(superset_app: InProcess, source: Source) -> None:
    """Intent: from the id of a chart to a text without the sort, with both costs, both times, and equal rows."""
    (chart,) = rewrite(superset_app, "--chart", str(source.chart), "--run")
    assert [rule["rule"] for rule in chart["applied"]] == ["unneeded_order"] and chart["applied"][0]["automatic"]
    original, rewritten = (" ".join(chart[side]["sql"].split()) for side in ("original", "rewritten"))
    assert "ORDER BY note" in original and "ORDER BY note" not in rewritten
    assert chart["rewritten"]["cost"] < chart["original"]["cost"] and chart["equal"] is True and chart["rows"] == 2
    assert chart["original"]["ms"] > 0 and chart["rewritten"]["ms"] > 0


def test_a_person_reads_both_texts_and_every_reason(superset_app: InProcess, source: Source) -> None:
    """Intent: what applied, what it should bring, and why the other rules did not, each in a line."""
    sql = "SELECT COUNT(*) AS n FROM orders WHERE CAST(id AS text) = '12345' AND EXTRACT(MONTH FROM placed) = 2"
    output = superset_app.perf("rewrite", sql, "--database", source.name, "--run").output
    assert "id = 12345" in output and "1 row, the same." in output
    assert "+ integer_as_text (automatic" in output and "- extract_range: " in output and "- not_in: " in output


def test_nothing_to_rewrite(superset_app: InProcess, source: Source) -> None:
    """Intent: a statement that no rule changes comes back as it is, with the reasons."""
    sql = "SELECT id FROM orders WHERE id = 1"
    (answer,) = rewrite(superset_app, sql, "--database", source.name)
    assert answer["rewritten"] is None and answer["original"]["sql"] == sql
    assert all(rule["reasons"] for rule in answer["not_applied"])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["DELETE FROM orders"], "DELETE is not"), (["SELECT 1; SELECT 2"], "2 statements"),
        (["SELECT pg_sleep(600)", "--run"], "pg_sleep"), (["COPY orders TO PROGRAM 'true'"], "COPY is not"),
        (["SELECT id FROM orders WHERE noisy(id) = 1 AND id = 3.0", "--run"], "nextval"),
        (["SELECT nextval('counter') FROM orders WHERE id = 3.0", "--run"], "nextval"),
        (["WITH x AS (DELETE FROM orders RETURNING id) SELECT * FROM x"], "it writes (DELETE)"),
        (["SELECT id FROM orders FOR UPDATE"], "it locks rows"), (["SELECT * INTO x FROM orders"], "SELECT INTO"),
        (["SELECT * FROM nowhere"], 'relation "nowhere" does not exist'), ([], "give one SELECT, or"),
        (["SELECT id FROM orders a, orders b WHERE a.id = 1.0", "--run"], 'column reference "id" is ambiguous'),
        (["SELECT a.id FROM orders a, few b WHERE a.id >= 1.0", "--run", "--timeout", "300"], "more than 100000 rows"),
        (["SELECT SUM(a.id + b.id) FROM orders a, orders b WHERE a.id > 1.0", "--run", "--timeout", "0.3"], "0.3 s"),
    ],
)  # fmt: skip
def test_what_is_refused_is_one_line(superset_app: InProcess, source: Source, words: list[str], line: str) -> None:
    """Intent: what writes, locks, is several statements, is volatile or never ends: status 1 and one line."""
    result = superset_app.perf("rewrite", *words, "--database", source.name)
    assert result.exit_code == 1 and line in result.output, result.output
    assert len(result.output.strip().splitlines()) == 1, result.output

"""What a probe is about: tables, datasets, and the settings that name them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from superset_ext.embedded.postgres import Postgres
from superset_ext.freshness.change import SourceTable
from superset_ext.freshness.probe.subject import Probed
from superset_ext.settings import Probe, Probes
from superset_ext.sqltables.table import Table
from testing.probes import Charts, Source, dataset, is_refused, lite_run


def test_a_probe_that_is_set_differently_is_told_once(source: Source, charts: Charts) -> None:
    """Intent: its answers compare with nothing; the row of before goes when nobody has asked for it for a day."""
    before, after = source.probe(sql="SELECT sum(n) FROM t"), source.probe(sql="SELECT max(n) FROM t")
    assert charts.run(0, before) == ["changed"]
    assert charts.run(60, after) == ["changed"]
    assert charts.run(120, after) == ["unchanged"]
    assert charts.row(before)
    assert charts.run(90_000, after) == ["unchanged"]
    assert [row["probe"] for row in charts.database.rows("SELECT probe FROM cache_probe")] == [after.key]


def test_a_database_that_is_another_server_now_is_told(source: Source, charts: Charts, postgres: Postgres) -> None:
    """Intent: the same number of rows from another place is another answer."""
    from superset.extensions import db
    from superset.models.core import Database

    probe = source.probe(method="count")
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    other = Source("other", 0, postgres.create_database(f"s_{uuid4().hex[:12]}"))
    other.run("CREATE TABLE t (n int)", "INSERT INTO t VALUES (8), (9)")
    db.session.get(Database, source.id).set_sqlalchemy_uri(other.url)
    db.session.commit()
    assert charts.seen(probe) == "changed"


def test_a_datasets_table_and_the_dataset_are_told(source: Source, charts: Charts) -> None:
    """Intent: a dataset is found by its id or its name; its charts are told, and whoever else reads its table."""
    number = dataset(source, "t")
    probes = [source.probe(dataset=number), source.probe(dataset="public.t")]
    assert charts.run(0, *probes) == ["changed"] * 2
    assert {(change.dataset_id, change.tables) for change in charts.changes} == {
        (number, (SourceTable(source.id, Table("public", "t")),))
    }
    row = charts.row(probes[0])
    assert (row["database_id"], row["table_schema"], row["table_name"], row["dataset_id"]) == (
        source.id, "public", "t", number,
    )  # fmt: skip


def test_a_dataset_that_is_a_query_follows_its_tables(source: Source, charts: Charts) -> None:
    """Intent: only the dataset is told, since nobody knows which of its tables it was."""
    source.run('CREATE TABLE "Big" (n int)')
    number = dataset(source, "joined", sql='SELECT t.n FROM T UNION SELECT b.n FROM public."Big" b WHERE 1=1; -- all')
    probe = source.probe(dataset=number)
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    assert charts.changes == [Probed(probe.name, source.id, (), number)]
    for table in ("t (id)", '"Big" (n)'):
        source.run(f"INSERT INTO {table} VALUES (70)")
        assert charts.seen(probe) == "changed"


def test_a_query_dataset_of_another_engine_is_counted(lite: Source, charts: Charts) -> None:
    """Intent: the rows of the query are counted, or its column's largest value is taken."""
    number = dataset(lite, "some", schema=None, sql='SELECT id, updated_at AS "When" FROM t WHERE id > 1 -- some')
    probes = [lite.probe(dataset=number), lite.probe(dataset="some", column="When")]
    assert charts.run(0, *probes) == ["changed"] * 2
    lite_run(lite, "INSERT INTO t VALUES (0, '2027-01-01')")
    assert charts.run(60, *probes) == ["unchanged"] * 2
    lite_run(lite, "INSERT INTO t VALUES (9, '2027-01-01')")
    assert charts.run(120, *probes) == ["changed"] * 2


def test_a_query_dataset_whose_tables_are_unknown_is_refused(source: Source, charts: Charts) -> None:
    """Intent: what a function reads nobody can follow."""
    source.run("CREATE FUNCTION f() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t'")
    number = dataset(source, "called", sql="SELECT * FROM f()")
    assert is_refused(charts, source.probe(dataset=number), "the tables of the dataset's SQL cannot be known")


def test_a_template_is_refused(source: Source, charts: Charts) -> None:
    """Intent: SQL that depends on who asks has no answer of its own."""
    number = dataset(source, "templated", sql="SELECT * FROM t WHERE n = {{ current_user_id() }}")
    (outcome,) = charts.outcomes(0, source.probe(dataset=number))
    assert str(outcome.error).startswith("the dataset's SQL is a template")
    assert charts.run(0, source.probe(dataset=number, sql="SELECT max(n) FROM t")) == ["changed"]


def test_an_edited_query_dataset_is_told(source: Source, charts: Charts) -> None:
    """Intent: the same answer to another query is another answer."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    number = dataset(source, "edited", sql="SELECT n FROM t WHERE n > 0")
    probe = source.probe(dataset=number)
    assert [charts.seen(probe), charts.seen(probe)] == ["changed", "unchanged"]
    db.session.get(SqlaTable, number).sql = "SELECT n FROM t WHERE n > 1"
    db.session.commit()
    assert charts.seen(probe) == "changed"


def test_what_superset_does_not_know_is_a_failure_like_any_other(source: Source, charts: Charts) -> None:
    """Intent: a typing error is said; where nobody knows whom to tell, nobody is told."""
    absent = Probe(database="absent", table="public.t", patience=0)
    unknown = [absent, source.probe(dataset=987654, patience=0), source.probe(dataset="public.no", patience=0)]
    errors = {
        outcome.probe: (outcome.state, outcome.stamped, outcome.error) for outcome in charts.outcomes(0, *unknown)
    }
    state, stamped, error = errors.pop(absent)
    assert (state, stamped) == ("unknown", False)
    assert error is not None and error.startswith("Superset has no database 'absent'; it has: ")
    assert errors == {
        unknown[1]: ("unknown", False, f"the database {source.name!r} has no dataset 987654"),
        unknown[2]: ("unknown", False, f"the database {source.name!r} has no dataset 'public.no'"),
    }
    assert charts.changes == []


def test_who_was_known_is_told_also_when_nobody_is_found_any_more(source: Source, charts: Charts) -> None:
    """Intent: a dataset that was deleted, or a metadata database that is away, leaves the last ids to tell."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    number = dataset(source, "t")
    probe = source.probe(dataset=number, patience=0)
    charts.run(0, probe)
    db.session.delete(db.session.get(SqlaTable, number))
    db.session.commit()
    assert charts.run(60, probe) == ["unknown"]
    assert charts.changes[1] == charts.changes[0]


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("[{}]", (0, "database"), "Field required"),
        ('[{"database": "d"}]', (0, "dataset"), "and table: name exactly one of them"),
        ('[{"database": "d", "table": "t", "dataset": 1}]', (0, "dataset"), "and table: name exactly one of them"),
        ('[{"database": true, "table": "t"}]', (0, "database"), 'is neither a name nor an id; write "examples", or 1'),
        (
            '[{"database": 1, "table": "a.b.c.d"}]', (0, "table"),
            "is not the name of a table ('a.b.c.d'); write schema.table, and a part that has a dot in double quotes",
        ),
        ('[{"database": 1, "table": "t", "every": 1}]', (0, "every"), "Input should be greater than or equal to 5"),
        (
            '[{"database": 1, "table": "t", "method": "max"}]', (0, "method"),
            "is max, which needs a column that grows, such as updated_at",
        ),
        (
            '[{"database": 1, "table": "t", "method": "count", "column": "c"}]', (0, "method"),
            "is count, which reads no column; leave column out, or write max",
        ),
        (
            '[{"database": 1, "table": "t", "sql": "SELECT 1", "column": "c"}]', (0, "method"),
            "and column repeat what sql says; leave them out, or sql",
        ),
        ('[{"database": 1, "table": "t"}, {"database": 1, "table": "t"}]', (), "has a probe twice; leave one out"),
        ("[", (), "is not JSON (Expecting value: line 1 column 2 (char 1)); write a list, as in [{…}, {…}]"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(text: str, where: tuple[Any, ...], problem: str) -> None:
    """Intent: the first problem names its field and the fix, also where two fields contradict each other."""
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(Probes).validate_python(text)
    first = raised.value.errors()[0]
    assert (first["loc"], first["msg"].removeprefix("Value error, ")) == (where, problem)


def test_a_right_setting_is_read() -> None:
    """Intent: names and ids, and what is left out has its default."""
    (probe,) = TypeAdapter(Probes).validate_python('[{"database": 1, "dataset": "public.sales"}]')
    assert (probe.name, probe.every, probe.patience, probe.timeout) == ("1: dataset public.sales", 60, 300, 10)
    assert Probe(database="d", table='c."a.b".t').place() == ("c", "a.b", "t")
    assert Probe(database="d", table="t").place() == ("", "", "t")

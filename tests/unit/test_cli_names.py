"""Names that people type: of tables as SQL writes them, and of what dbt has built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superset_ext.cli.dbt import tables_built
from superset_ext.cli.names import in_words, table_named
from superset_ext.freshness.resolve import Names, TableName


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("examples.public.orders", TableName("examples", "orders", "public")),
        ("examples.orders", TableName("examples", "orders")),
        ('examples."h1.s"."Weird Table"', TableName("examples", "Weird Table", "h1.s")),
        ('"my.database".public.orders', TableName("my.database", "orders", "public")),
        ('"my.database"."a ""b"" c"', TableName("my.database", 'a "b" c')),
        ("lake.`a.b`.[c d]", TableName("lake", "c d", "a.b")),
        ("lake.[a]]b]", TableName("lake", "a]b")),
        ("Datenbank 7.öffentlich.größe", TableName("Datenbank 7", "größe", "öffentlich")),
        ('7.public."x.y.z"', TableName("7", "x.y.z", "public")),
    ],
)
def test_a_table_is_named_as_sql_writes_it(text: str, table: TableName) -> None:
    """Intent: whatever a database allows in a name can be named, the database's own name too."""
    assert table_named(text) == table


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write DATABASE.SCHEMA.TABLE"),
        ("orders", "write DATABASE.SCHEMA.TABLE"),
        ("a..b", "write DATABASE.SCHEMA.TABLE"),
        ("a.b.", "write DATABASE.SCHEMA.TABLE"),
        ("my.database.public.orders", "stands in quotes: '\"my.database\".public.orders'"),
        ('a."b', "a quote is not closed"),
        ('a."b"c.d', "after the quoted 'b' comes 'c.d'"),
        ('a."".b', "write DATABASE.SCHEMA.TABLE"),
    ],
)
def test_what_is_no_table_says_why(text: str, why: str) -> None:
    """Intent: a name that cannot be read is no other table."""
    with pytest.raises(ValueError, match="is not a table") as raised:
        table_named(text)
    assert why in str(raised.value)


def test_what_was_named_is_told_in_its_words() -> None:
    """Intent: a person reads the names that they typed, not the tags that stand for them."""
    names = Names((TableName("examples", "orders", "public"),), ("lake",), (3,), (4, 5), (6,))
    assert in_words(names) == (
        "table public.orders of examples, all of database lake, dataset 3, chart 4, chart 5, dashboard 6"
    )
    assert in_words(Names(everything=True)) == "everything"


def node(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"resource_type": kind, "name": name, "schema": "mart", "config": {"materialized": "table"}} | more


NODES = {
    "model.p.orders": node("model", "orders"),
    "model.p.weird": node("model", "weird", alias="Weird Name", config={"materialized": "incremental"}),
    "model.p.eph": node("model", "eph", config={"materialized": "ephemeral"}),
    "model.p.broken": node("model", "broken"),
    "seed.p.countries": node("seed", "countries", config={"materialized": "seed"}),
    "snapshot.p.history": node("snapshot", "history", schema="snapshots"),
    "test.p.unique": node("test", "unique"),
}


def test_what_dbt_has_built(tmp_path: Path) -> None:
    """Intent: each model, seed and snapshot that succeeded, once, by its name in the database; nothing that failed."""
    status = {"model.p.broken": "error", "model.p.orders": "success"}
    results = [{"unique_id": one, "status": status.get(one, "success")} for one in [*NODES, "model.p.gone"]]
    (tmp_path / "run_results.json").write_text(json.dumps({"results": results}))
    (tmp_path / "manifest.json").write_text(json.dumps({"nodes": NODES}))
    built = tables_built(f"warehouse={tmp_path}")
    assert [(table.database, str(table)) for table in built] == [
        ("warehouse", "mart.orders"), ("warehouse", "mart.Weird Name"), ("warehouse", "mart.countries"),
        ("warehouse", "snapshots.history"),
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "why"), [(None, "is not there"), ("{", "cannot be read"), ("[]", "not a file of")])
def test_a_folder_without_results_says_why(tmp_path: Path, content: str | None, why: str) -> None:
    """Intent: a wrong folder is no run that built nothing."""
    if content is not None:
        (tmp_path / "run_results.json").write_text(content)
    with pytest.raises(ValueError, match=why):
        tables_built(f"warehouse={tmp_path}")
    with pytest.raises(ValueError, match="is not DATABASE=FOLDER"):
        tables_built(str(tmp_path))

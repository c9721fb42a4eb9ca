"""The table of notes of an aggregate, and the function that writes them from what a statement has changed."""

from __future__ import annotations

from superset_ext.aggregates.tables.definition import SCHEMA, Definition, full
from superset_ext.aggregates.view import quoted

ALL = "superset_ext_all"  # the column that says: any group may have changed
MOST_KEYS = 10_000  # that a statement leaves one by one

# It runs as its owner, since whoever writes the base need not know of us. A writer never fails because of it: what
# cannot be read of the rows, since a column was renamed or retyped, is noted as a change of all. Only the reading is
# within the block that catches errors, so that no subtransaction gets a number.
_FUNCTION = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    keys {note}[];
BEGIN
    BEGIN
        IF TG_OP = 'INSERT' THEN
            keys := ARRAY(SELECT ROW(false, k.*)::{note} FROM (
                SELECT DISTINCT {keys} FROM new_rows AS t LIMIT {most}) AS k);
        ELSIF TG_OP = 'DELETE' THEN
            keys := ARRAY(SELECT ROW(false, k.*)::{note} FROM (
                SELECT DISTINCT {keys} FROM old_rows AS t LIMIT {most}) AS k);
        ELSIF TG_OP = 'UPDATE' THEN
            keys := ARRAY(SELECT ROW(false, k.*)::{note} FROM (
                SELECT {keys} FROM old_rows AS t UNION SELECT {keys} FROM new_rows AS t LIMIT {most}) AS k);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        keys := NULL;
    END;
    IF keys IS NULL OR cardinality(keys) = {most} THEN
        INSERT INTO {note} ({all}) VALUES (true);
    ELSE
        INSERT INTO {note} SELECT k.* FROM unnest(keys) AS k;
    END IF;
    RETURN NULL;
END
$body$
"""
_WHOLE = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    INSERT INTO {note} ({all}) VALUES (true);
    RETURN NULL;
END
$body$
"""


def note_table(name: str) -> str:
    """The table of notes, as SQL."""
    return full(f"note_{name}")


def statements(definition: Definition) -> list[str]:
    """What makes the notes of an aggregate, but for the triggers."""
    schema, table = definition.base or ("", "")
    keys = [f"{key.value.sql(dialect=definition.view.engine)} AS {quoted(definition.view.names[key])}"
            for key in definition.view.keys]  # fmt: skip
    columns = ", ".join([f"false AS {ALL}", *keys])
    note, source = note_table(definition.name), f"{quoted(schema)}.{quoted(table)}"
    text = (_FUNCTION if keys else _WHOLE).format(
        function=f"{SCHEMA}.{quoted(f'noted_{definition.name}')}", note=note, all=ALL, keys=", ".join(keys),
        most=MOST_KEYS + 1,
    )  # fmt: skip
    return [f"CREATE TABLE {note} AS SELECT {columns} FROM {source} AS t WITH NO DATA", text.strip()]  # noqa: S608


def drop_statements(name: str) -> list[str]:
    """What takes notes and triggers away, wherever these are by now, and whichever of them are there."""
    return [
        f"DROP FUNCTION IF EXISTS {SCHEMA}.{quoted(f'noted_{name}')}() CASCADE",
        f"DROP TABLE IF EXISTS {note_table(name)}",
    ]

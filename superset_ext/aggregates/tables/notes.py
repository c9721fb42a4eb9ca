"""The table of notes of an aggregate, and the function that writes them from what a statement has changed."""

from __future__ import annotations

from superset_ext.aggregates.tables.definition import SCHEMA, Definition, full
from superset_ext.aggregates.view import Key, quoted

ALL = "superset_ext_all"  # the column that says: any group may have changed
MOST_KEYS = 10_000  # that a statement leaves one by one

# It runs as its owner, since whoever writes the base need not know of us; so all that it calls is named with its
# schema. A writer never fails because of it: what cannot be read of the rows, since a column was renamed or retyped, is
# noted as a change of all. Only the reading is within blocks that catch errors, so that no subtransaction has a number.
# Most statements change one row, which is read without an array: that takes half the time.
_FUNCTION = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
#variable_conflict use_column
DECLARE
    before {note};
    after {note};
    keys {note}[];
    is_many boolean := false;
    is_all boolean := TG_OP OPERATOR(pg_catalog.=) 'TRUNCATE';
BEGIN
    BEGIN
        IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' OR TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
            SELECT false, {keys} INTO STRICT before FROM old_rows AS t;
        END IF;
        IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' OR TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
            SELECT false, {keys} INTO STRICT after FROM new_rows AS t;
        END IF;
    EXCEPTION
        WHEN no_data_found THEN
            RETURN NULL;
        WHEN too_many_rows THEN
            is_many := true;
        WHEN OTHERS THEN
            is_all := true;
    END;
    IF is_many THEN
        BEGIN
            IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
                keys := ARRAY(SELECT ROW(false, k.*)::{note} FROM (
                    SELECT DISTINCT {keys} FROM new_rows AS t LIMIT {most}) AS k);
            ELSIF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
                keys := ARRAY(SELECT ROW(false, k.*)::{note} FROM (
                    SELECT DISTINCT {keys} FROM old_rows AS t LIMIT {most}) AS k);
            ELSE
                keys := ARRAY(SELECT ROW(false, k.*)::{note} FROM (
                    SELECT {keys} FROM old_rows AS t UNION SELECT {keys} FROM new_rows AS t LIMIT {most}) AS k);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            is_all := true;
        END;
        is_all := is_all OR pg_catalog.cardinality(keys) OPERATOR(pg_catalog.=) {most};
    END IF;
    IF is_all THEN
        INSERT INTO {note} ({all}) VALUES (true);
    ELSIF is_many THEN
        INSERT INTO {note} SELECT k.* FROM pg_catalog.unnest(keys) AS k;
    ELSE
        IF TG_OP OPERATOR(pg_catalog.<>) 'INSERT' THEN
            INSERT INTO {note} VALUES (before.*);
        END IF;
        IF TG_OP OPERATOR(pg_catalog.<>) 'DELETE' THEN
            INSERT INTO {note} VALUES (after.*);
        END IF;
    END IF;
    RETURN NULL;
END
$body$
"""
_WHOLE = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
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
    keys = [f"{_value(key)} AS {quoted(definition.view.names[key])}" for key in definition.view.keys]
    columns = ", ".join([f"false AS {ALL}", *keys])
    note, source = note_table(definition.name), f"{quoted(schema)}.{quoted(table)}"
    text = (_FUNCTION if keys else _WHOLE).format(
        function=f"{SCHEMA}.{quoted(f'noted_{definition.name}')}", note=note, all=ALL, keys=", ".join(keys),
        most=MOST_KEYS + 1,
    )  # fmt: skip
    return [f"CREATE TABLE {note} AS SELECT {columns} FROM {source} AS t WITH NO DATA", text.strip()]  # noqa: S608


def _value(key: Key) -> str:
    """A key over a row of the base, which means the same on whatever path names are looked up."""
    column = quoted(key.column)
    return column if key.unit is None else f"pg_catalog.date_trunc('{key.unit}', {column})"


def drop_statements(name: str) -> list[str]:
    """What takes notes and triggers away, wherever these are by now, and whichever of them are there."""
    return [
        f"DROP FUNCTION IF EXISTS {SCHEMA}.{quoted(f'noted_{name}')}() CASCADE",
        f"DROP TABLE IF EXISTS {note_table(name)}",
    ]

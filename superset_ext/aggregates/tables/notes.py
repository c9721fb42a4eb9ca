"""The table of notes of an aggregate, and the function that writes them from what a statement has changed.

A note is of one group: how many of its rows came and went, and what that is to each measure (`parts`). One of a
statement that changed one row is of one side of it; a statement that changed more leaves one for each group.
"""

from __future__ import annotations

from typing import Any

from superset_ext.aggregates.tables.definition import SCHEMA, Definition, full
from superset_ext.aggregates.tables.parts import (
    PREFIX,
    Part,
    is_column,
    of_both,
    of_many,
    of_one,
    parts_of,
    rows,
    typed,
)
from superset_ext.aggregates.view import Key, quoted
from superset_ext.plans.rewrite.facts import Kind

ALL = f"{PREFIX}all"  # the column that says: any group may have changed
TABLE = f"{PREFIX}table"  # the number of the table that the statement named
CAME, WENT = f"{PREFIX}came", f"{PREFIX}went"  # how many rows
MOST_GROUPS = 100_000  # that a statement leaves one by one
MOST_BYTES = 256 << 20  # of notes; beyond, nobody takes them, and none are written until somebody does
_PAGE_BYTES = 8192
_MUTED = "SELECT prosrc = superset_ext_aggregates.muted() FROM pg_proc WHERE oid = to_regproc(%s)::oid"
_COLUMNS = """
SELECT attname, atttypid, atttypmod, attcollation FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum
"""

# It runs as its owner, since whoever writes the base need not know of us; so all that it calls is named with its
# schema. Only where a measure is more than a column it has a path of its own, which takes a few µs each time. A writer
# never fails because of it: what cannot be read of the rows, since a column was renamed or retyped, is noted as a
# change of all. The note of one row, which most statements change, is read within a block that catches errors and
# written after it, so that no subtransaction has a number. Whether there are too many is seen from where it was put.
# plpgsql prepares each expression anew in each transaction, so the path of one row has as few of them as can be.
_FUNCTION = """
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
{path}AS $body$
#variable_conflict use_column
DECLARE
    superset_ext_before {note};
    superset_ext_after {note};
    superset_ext_same boolean;
    superset_ext_all boolean;
    superset_ext_many bigint;
    superset_ext_place pg_catalog.tid;
BEGIN
    <<one_row>>
    BEGIN
        BEGIN
            IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
                SELECT false, TG_RELID, {came} INTO STRICT superset_ext_after FROM new_rows AS t;
            ELSIF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
                SELECT false, TG_RELID, {went} INTO STRICT superset_ext_before FROM old_rows AS t;
                SELECT false, TG_RELID, {came} INTO STRICT superset_ext_after FROM new_rows AS t;
                superset_ext_same := {same};
            ELSIF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
                SELECT false, TG_RELID, {went} INTO STRICT superset_ext_before FROM old_rows AS t;
            ELSE
                superset_ext_all := true;
                EXIT one_row;
            END IF;
        EXCEPTION
            WHEN no_data_found THEN
                RETURN NULL;
            WHEN too_many_rows THEN
                EXIT one_row;
            WHEN OTHERS THEN
                superset_ext_all := true;
                EXIT one_row;
        END;
        IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
            INSERT INTO {note} VALUES (superset_ext_after.*) RETURNING ctid INTO superset_ext_place;
        ELSIF superset_ext_same THEN
            INSERT INTO {note} VALUES (false, TG_RELID, {both}) RETURNING ctid INTO superset_ext_place;
        ELSIF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
            INSERT INTO {note} VALUES (superset_ext_before.*);
            INSERT INTO {note} VALUES (superset_ext_after.*) RETURNING ctid INTO superset_ext_place;
        ELSE
            INSERT INTO {note} VALUES (superset_ext_before.*) RETURNING ctid INTO superset_ext_place;
        END IF;
        IF superset_ext_place OPERATOR(pg_catalog.<) '({pages},1)' THEN
            RETURN NULL;
        END IF;
    END;
    IF superset_ext_place IS NULL AND superset_ext_all IS NULL THEN
        BEGIN
            IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
                INSERT INTO {note} {added};
            ELSIF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
                INSERT INTO {note} {deleted};
            ELSE
                INSERT INTO {note} {updated};
            END IF;
            GET DIAGNOSTICS superset_ext_many = ROW_COUNT;
            IF superset_ext_many OPERATOR(pg_catalog.>) {most} THEN
                RAISE EXCEPTION 'too many groups';
            END IF;
            IF pg_catalog.pg_relation_size('{note}') OPERATOR(pg_catalog.>) {bytes} THEN
                superset_ext_place := '({pages},1)';
            END IF;
        EXCEPTION WHEN OTHERS THEN
            superset_ext_all := true;
        END;
    END IF;
    IF superset_ext_all THEN
        INSERT INTO {note} ({all}) VALUES (true) RETURNING ctid INTO superset_ext_place;
    END IF;
    IF superset_ext_place OPERATOR(pg_catalog.>=) '({pages},1)' THEN
        PERFORM superset_ext_aggregates.mute('{name}');
    END IF;
    RETURN NULL;
END
$body$
"""


def note_table(name: str) -> str:
    """The table of notes, as SQL."""
    return full(f"note_{name}")


def statements(definition: Definition) -> list[str]:
    """What makes the notes of an aggregate, but for the triggers."""
    return [_table(definition, note_table(definition.name)), _function(definition).strip()]


def is_muted(cursor: Any, definition: Definition) -> bool:
    """Whether nothing is noted any more, since nobody took what was noted."""
    cursor.execute(_MUTED, (f"{SCHEMA}.{quoted(f'noted_{definition.name}')}",))
    row = cursor.fetchone()
    return row is not None and bool(row[0])


def unmute(cursor: Any, definition: Definition) -> None:
    """Have changes noted again, once all those have ended who write; nothing is left in the notes. All of the aggregate
    has to be made anew afterwards."""
    cursor.execute("SELECT superset_ext_aggregates.attach(%s, again => true)", (definition.name,))
    cursor.execute(_function(definition))
    cursor.execute(f"TRUNCATE {note_table(definition.name)}")


def renew(cursor: Any, definition: Definition) -> None:
    """Make notes anew, without what is in them, where a column of the base has another type by now: what a trigger puts
    into them would be rounded or cut. All of the aggregate has to be made anew afterwards, and triggers too."""
    note, new = note_table(definition.name), full(f"new_{definition.name}")
    cursor.execute(_table(definition, new))
    is_same = _columns(cursor, note) == _columns(cursor, new)
    cursor.execute(f"DROP TABLE {new}")
    if not is_same:
        for statement in [*drop_statements(definition.name), *statements(definition)]:
            cursor.execute(statement)


def _columns(cursor: Any, table: str) -> list[tuple[Any, ...]]:
    cursor.execute(_COLUMNS, (table,))
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _table(definition: Definition, note: str) -> str:
    keys, parts = _keys(definition), parts_of(definition.view) or ()
    columns = [f"false AS {ALL}", f"0::oid AS {TABLE}"]
    columns += [f"{value} AS {name}" for name, value in keys.items()]
    columns += [f"0::bigint AS {CAME}", f"0::bigint AS {WENT}", *map(typed, parts)]
    source = ".".join(map(quoted, definition.base or ()))
    grouped = f" GROUP BY {', '.join(keys.values())}" if keys else ""
    return f"CREATE TABLE {note} AS SELECT {', '.join(columns)} FROM {source} AS t{grouped} WITH NO DATA"  # noqa: S608


def _function(definition: Definition) -> str:
    keys, parts = [*_keys(definition).values()], parts_of(definition.view) or ()
    return _FUNCTION.format(
        bytes=MOST_BYTES, pages=MOST_BYTES // _PAGE_BYTES, name=definition.name,
        path="" if all(map(is_column, parts)) else "SET search_path = pg_catalog, pg_temp\n",
        function=f"{SCHEMA}.{quoted(f'noted_{definition.name}')}", note=note_table(definition.name), all=ALL,
        came=", ".join([*keys, "1", "0", *(of_one(part, True) for part in parts)]),
        went=", ".join([*keys, "0", "1", *(of_one(part, False) for part in parts)]),
        added=_grouped(keys, parts, came=True, went=False), deleted=_grouped(keys, parts, came=False, went=True),
        updated=_grouped(keys, parts, came=True, went=True), most=MOST_GROUPS, same=_same(definition),
        both=", ".join([*(f"superset_ext_after.{name}" for name in _keys(definition)), "1", "1", *map(of_both, parts)]),
    )  # fmt: skip


def _same(definition: Definition) -> str:
    """Whether one row is in the same group as before, so that one note has both sides of it."""
    if any(definition.view.columns[key.column].kind == Kind.OTHER for key in definition.view.keys):
        return "false"  # its type may have an equality of its own
    pairs = [(f"superset_ext_before.{name}", f"superset_ext_after.{name}") for name in _keys(definition)]
    same = " AND ".join(f"{before} OPERATOR(pg_catalog.=) {after}" for before, after in pairs)
    return f"coalesce({same}, false)" if same else "true"


def _grouped(keys: list[str], parts: tuple[Part, ...], came: bool, went: bool) -> str:
    """The notes of a statement that changed many rows: one for each group."""
    by = [f"k{number}" for number, _ in enumerate(keys, 1)]
    values = ["false", "TG_RELID", *by, "pg_catalog.count(*) FILTER (WHERE came)"]
    values.append("pg_catalog.count(*) FILTER (WHERE NOT came)")
    values += [of_many(part) for part in parts]
    group = f"GROUP BY {', '.join(by)}" if by else "HAVING true"
    changed = rows(keys, parts, came, went)
    return f"SELECT {', '.join(values)} FROM ({changed}) AS r {group} LIMIT {MOST_GROUPS + 1}"  # noqa: S608


def _keys(definition: Definition) -> dict[str, str]:
    """The keys over a row of the base, by the names of their columns."""
    return {quoted(definition.view.names[key]): _value(key) for key in definition.view.keys}


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

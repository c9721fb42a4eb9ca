"""Makes a source's relations anew on a scratch server, empty, with its keys, its indexes and its statistics.

What cannot be made there is left out and named: the source may have extensions, functions and orders of text that the
scratch server lacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg2

from superset_ext.plans.indexes.index import quoted
from superset_ext.plans.indexes.scratch.schema import Row, Schema
from superset_ext.plans.indexes.whatif import literal

logger = logging.getLogger(__name__)

_PLAIN = ("C", "POSIX", "ucs_basic")  # orders of text that every server has
_SHOWN = 5  # names in a line
_RELATION = """
SELECT pg_restore_relation_stats('schemaname', %s, 'relname', %s, 'version', %s, 'relpages', %s::int,
    'reltuples', %s::real, 'relallvisible', %s::int)
"""
_ATTRIBUTE = """
SELECT pg_restore_attribute_stats('schemaname', %(schema_name)s, 'relname', %(table_name)s,
    'attname', %(attname)s::text, 'attnum', %(place)s::smallint, 'inherited', %(inherited)s, 'version', %(version)s,
    'null_frac', %(null_frac)s::real, 'avg_width', %(avg_width)s::int, 'n_distinct', %(n_distinct)s::real,
    'most_common_vals', %(most_common_vals)s::text, 'most_common_freqs', %(most_common_freqs)s::real[],
    'histogram_bounds', %(histogram_bounds)s::text, 'correlation', %(correlation)s::real,
    'most_common_elems', %(most_common_elems)s::text, 'most_common_elem_freqs', %(most_common_elem_freqs)s::real[],
    'elem_count_histogram', %(elem_count_histogram)s::real[])
"""
_VALUES = (
    "most_common_vals", "most_common_freqs", "histogram_bounds", "correlation", "most_common_elems",
    "most_common_elem_freqs", "elem_count_histogram",
)  # fmt: skip


class Making:
    """Makes one schema.

    Args:
        cursor: of a superuser of the scratch server, in autocommit.

    Attributes:
        lacks: what is not as on the source, in words.
    """

    def __init__(self, cursor: Any, schema: Schema) -> None:
        self._cursor = cursor
        self._schema = schema
        self._strange: set[tuple[str, str, str]] = set()  # columns whose type there is not here
        self.lacks: list[str] = []

    def make(self) -> None:
        """Make all of it but sizes.

        Raises:
            Exception: whatever the driver raises of what has to work.
        """
        self._settings()
        self._types()
        self._relations()
        self._note("indexes", self._attempt(self._schema.indexes, _index, "index_name"))
        self._note("constraints", self._attempt(self._schema.constraints, _constraint, "constraint_name"))
        self._statistics()
        self._note_the_rest()

    def _settings(self) -> None:
        """Schemas first, since the path names them. A setting that this version lacks is left out."""
        names = {row["schema_name"] for row in (*self._schema.relations, *self._schema.types)} - {"public"}
        for name in sorted(names):
            self._cursor.execute(f"CREATE SCHEMA {quoted(name)}")
        self._cursor.execute("SELECT set_config('search_path', %s, false)", (", ".join(self._schema.search_path),))
        names_here = "SELECT name FROM pg_settings WHERE context IN ('user', 'superuser') AND name = ANY (%s)"
        self._cursor.execute(names_here, (list(self._schema.settings),))
        for (name,) in self._cursor.fetchall():
            self._cursor.execute("SELECT set_config(%s, %s, false)", (name, self._schema.settings[name]))

    def _types(self) -> None:
        self._note("types", self._attempt(self._schema.types, _type, "type_name"))

    def _relations(self) -> None:
        types = {column["type"] for row in self._schema.relations for column in row["columns"]}
        self._cursor.execute("SELECT name FROM unnest(%s) AS name WHERE to_regtype(name) IS NOT NULL", (list(types),))
        known = {name for (name,) in self._cursor.fetchall()}
        for row in self._schema.relations:
            for column in row["columns"]:
                if column["type"] not in known and row["kind"] != "v":
                    self._strange.add((row["schema_name"], row["table_name"], column["name"]))
        self._note("columns, taken as text since their types are not there,", [name for _, _, name in self._strange])

        def statement(row: Row) -> str:
            return _view(row) if row["kind"] == "v" else _table(row, known)

        self._note("relations", self._attempt(self._schema.relations, statement, "table_name"))

    def _attempt(self, rows: Iterable[Row], statement: Callable[[Row], str], name: str) -> list[str]:
        """Make what can be made, round after round, since one may need another; the names of what could not be."""
        left = list(rows)
        while left:
            failed = [row for row in left if not self._done(statement(row))]
            if len(failed) == len(left):
                break
            left = failed
        return [row[name] for row in left]

    def _done(self, statement: str) -> bool:
        try:
            self._cursor.execute(statement)
        except psycopg2.OperationalError:  # the server is gone
            raise
        except psycopg2.Error:
            return False
        return True

    def _statistics(self) -> None:
        """A column whose type there is not here keeps how many values it has and how wide they are."""
        names = {(row["schema_name"], row["table_name"]) for row in self._schema.relations if row["kind"] != "v"}
        tables = [row for row in self._schema.relations if row["kind"] != "v"]
        failed = [row["table_name"] for row in tables if not self._restored(_RELATION, self._of_relation(row))]
        for row in self._schema.statistics:
            values = dict(row, version=self._schema.version, attname=None if row["place"] else row["column_name"])
            if (row["schema_name"], row["table_name"], row["column_name"]) in self._strange:
                values |= dict.fromkeys(_VALUES)
            if not self._restored(_ATTRIBUTE, values) and (row["schema_name"], row["table_name"]) in names:
                failed.append(f"{row['table_name']}.{row['column_name']}")
        self._note("statistics", failed)

    def _of_relation(self, row: Row) -> Sequence[Any]:
        return (
            row["schema_name"], row["table_name"], self._schema.version, row["pages"], row["row_count"],
            row["all_visible"],
        )  # fmt: skip

    def _restored(self, statement: str, values: Any) -> bool:
        try:
            self._cursor.execute(statement, values)
        except psycopg2.OperationalError:
            raise
        except psycopg2.Error as error:
            logger.debug("superset_ext: statistics were not taken: %s", type(error).__name__)
            return False
        return bool(self._cursor.fetchone()[0])

    def _note(self, what: str, names: Iterable[str]) -> None:
        listed = sorted(set(names))
        if listed:
            shown = ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if listed[_SHOWN:] else "")
            self.lacks.append(f"{what} {shown}")

    def _note_the_rest(self) -> None:
        relations = self._schema.relations
        self._note("the extended statistics of", (r["table_name"] for r in relations if r["extended_statistics"]))
        self._note("the row-level security of", (r["table_name"] for r in relations if r["row_security"]))
        self._note("the foreign server of", (r["table_name"] for r in relations if r["kind"] == "f"))


def _type(row: Row) -> str:
    name = f"{quoted(row['schema_name'])}.{quoted(row['type_name'])}"
    if row["base"]:
        return f"CREATE DOMAIN {name} AS {row['base']}"
    return f"CREATE TYPE {name} AS ENUM ({', '.join(map(literal, row['labels']))})"


def _table(row: Row, known: set[str]) -> str:
    """A table, also where the source has a materialized view or a foreign table."""
    name = f"{quoted(row['schema_name'])}.{quoted(row['table_name'])}"
    end = f" PARTITION BY {row['partition_key']}" if row["partition_key"] else ""
    if row["workers"] is not None:
        end += f" WITH (parallel_workers = {int(row['workers'])})"
    if row["partition_bound"] and row["parents"]:
        return f"CREATE TABLE {name} PARTITION OF {row['parents'][0]} {row['partition_bound']}{end}"
    inherits = f" INHERITS ({', '.join(row['parents'])})" if row["parents"] else ""
    return f"CREATE TABLE {name} ({', '.join(_columns(row, known))}){inherits}{end}"


def _columns(row: Row, known: set[str]) -> Iterator[str]:
    for column in row["columns"]:
        is_known = column["type"] in known
        order = f' COLLATE "{column["collation"]}"' if is_known and column["collation"] in _PLAIN else ""
        yield f"{quoted(column['name'])} {column['type'] if is_known else 'text'}{order}" + (
            " NOT NULL" if column["not_null"] else ""
        )


def _view(row: Row) -> str:
    return f"CREATE VIEW {quoted(row['schema_name'])}.{quoted(row['table_name'])} AS {row['view_query']}"


def _index(row: Row) -> str:
    if row["constraint_name"]:
        return _constraint(dict(row, definition=row["constraint_definition"]))
    return str(row["definition"])


def _constraint(row: Row) -> str:
    """A foreign key is not checked: that would have pages of indexes read before they are as on the source."""
    unchecked = " NOT VALID" if row["definition"].startswith("FOREIGN KEY") else ""
    name = quoted(row["constraint_name"])
    return f"ALTER TABLE ONLY {row['table_name']} ADD CONSTRAINT {name} {row['definition']}{unchecked}"

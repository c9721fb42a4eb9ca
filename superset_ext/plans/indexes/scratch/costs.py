"""What statements would cost with indexes that the source does not have, asked of a scratch server.

It has the source's relations without a row, the source's statistics, and files of the source's lengths, so that its
planner sees what the source's would. Each candidate is an index of its own, made while its table is empty; those that
a question does not offer are marked as not valid. The source is asked for its catalog alone, at the beginning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import NoScratch
from superset_ext.plans.indexes.index import Index
from superset_ext.plans.indexes.scratch.files import lengthen, write_tree
from superset_ext.plans.indexes.scratch.making import Making
from superset_ext.plans.indexes.scratch.schema import Schema, read_schema
from superset_ext.plans.indexes.scratch.server import Server, scratch_server
from superset_ext.plans.indexes.sizes import PAGE, height_of
from superset_ext.plans.indexes.whatif import Cost, Question, Size, costs_of, literal

_NAME = "superset_ext_candidate_"
_FILES = """
SELECT c.oid::bigint, n.nspname, c.relname, pg_relation_filepath(c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'i') AND c.oid >= 16384
"""
_LENGTHS = """
SELECT pg_restore_relation_stats('schemaname', n.nspname::text, 'relname', c.relname::text,
    'relpages', pages, 'reltuples', tuples)
FROM unnest(%s::oid[], %s::int[], %s::real[]) AS given(number, pages, tuples)
JOIN pg_class AS c ON c.oid = number JOIN pg_namespace AS n ON n.oid = c.relnamespace
"""
# The server has pages of an index in memory since it was made; those of another file it has to read.
_ANEW = 1_000_000_000
_MOVE = "UPDATE pg_class SET relfilenode = (oid::bigint + %s)::oid WHERE oid = ANY (%s::oid[])"
_HIDE = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = ANY (%s::oid[])"
_SECONDS = 60


@contextmanager
def scratch(cursor: Any, names: Sequence[str]) -> Iterator[Scratch]:
    """A scratch server with what the source has of these bare names. The source's transaction is ended.

    Args:
        cursor: of a transaction of the source that may only read.

    Raises:
        NoScratch: there can be none, or it failed.
        Exception: whatever the driver raises for the source.
    """
    schema = read_schema(cursor, names)
    cursor.connection.rollback()  # from here on nothing is asked of the source
    with scratch_server("C" if schema.plain_order else "C.UTF-8") as server:
        try:
            with server.connection.cursor() as own:
                own.execute(f"SET statement_timeout = '{_SECONDS}s'")
                yield Scratch(own, server, schema)
        except psycopg2.Error as error:
            raise NoScratch(f"the scratch server failed: {first_line(error)}") from None


class Scratch:
    """A scratch server with a source's relations, before candidates and lengths."""

    def __init__(self, cursor: Any, server: Server, schema: Schema) -> None:
        self._cursor = cursor
        self._server = server
        self._schema = schema
        making = Making(cursor, schema)
        making.make()
        self.lacks = making.lacks

    def costs(self, indexes: Sequence[Index], statements: Sequence[tuple[str, int]]) -> ScratchCosts:
        """What answers questions about a run's candidates and statements.

        Raises:
            NoScratch: the file system makes no such files.
        """
        made = self._made(indexes)
        try:
            self._lengthen()
        except OSError as error:
            raise NoScratch(f"no files of the source's lengths can be made: {error.strerror}") from None
        return ScratchCosts(self._cursor, self._server.data, made, statements)

    def _made(self, indexes: Sequence[Index]) -> dict[int, int]:
        """Make all candidates, hidden; the oid of each that could be made, by its number."""
        made: dict[int, int] = {}
        for number, index in enumerate(indexes):
            try:
                self._cursor.execute(f"CREATE INDEX {_NAME}{number} {index.definition}")
            except psycopg2.OperationalError:
                raise
            except psycopg2.Error:  # of a type or with a function that there is not here
                continue
            self._cursor.execute("SELECT %s::regclass::oid", (f'"{index.table.schema}".{_NAME}{number}',))
            made[number] = self._cursor.fetchone()[0]
        self._cursor.execute(_HIDE, (list(made.values()),))
        return made

    def _lengthen(self) -> None:
        """Give tables and their own indexes the lengths that they have on the source."""
        files = _Files(self._cursor, self._server.data)
        for row in self._schema.relations:
            if (row["schema_name"], row["table_name"]) in files.oids and row["bytes"]:
                lengthen(files.of(row["schema_name"], row["table_name"]), row["bytes"] // PAGE)
        indexes = [row for row in self._schema.indexes if (row["schema_name"], row["index_name"]) in files.oids]
        for row in indexes:
            pages, oid = row["bytes"] // PAGE, files.oids[row["schema_name"], row["index_name"]]
            files.give(oid, pages, height_of(pages) if row["method"] == "btree" else None)
        files.move()
        oids = [files.oids[row["schema_name"], row["index_name"]] for row in indexes]
        self._cursor.execute(_LENGTHS, (oids, [row["pages"] for row in indexes], [row["row_count"] for row in indexes]))


class _Files:
    """The first file of each table and index."""

    def __init__(self, cursor: Any, data: Path) -> None:
        cursor.execute(_FILES)
        rows = cursor.fetchall()
        self._cursor = cursor
        self._by_oid: dict[int, Path] = {oid: data / path for oid, _, _, path in rows}
        self._moved: list[int] = []
        self.oids: dict[tuple[str, str], int] = {(schema, name): oid for oid, schema, name, _ in rows}

    def of(self, schema: str, name: str) -> Path:
        return self._by_oid[self.oids[schema, name]]

    def give(self, oid: int, pages: int, height: int | None) -> None:
        """Give an index its length; a B-tree, its height too, in a new file, which is used after `move`."""
        file = self._by_oid[oid]
        if height is not None:
            file = file.with_name(str(oid + _ANEW))
            write_tree(file, height)
            self._moved.append(oid)
        lengthen(file, pages)

    def move(self) -> None:
        """Have the server use the new files."""
        self._cursor.execute(_MOVE, (_ANEW, self._moved))
        self._moved = []


class ScratchCosts:
    """Costs of the statements of a run, as `WhatIf` has them.

    Args:
        made: the oid of each candidate that could be made, by its number; no plan uses any other.
        statements: those of the run, each one query with the number of its parameters `$1`, `$2` and so on.

    Attributes:
        round_trips: to the scratch server so far.
        plans: made so far.
        errors: what it says of statements that cannot be planned, by their number.
    """

    def __init__(
        self, cursor: Any, data: Path, made: Mapping[int, int], statements: Sequence[tuple[str, int]]
    ) -> None:  # fmt: skip
        self._cursor = cursor
        self._data = data
        self._made = made
        self._statements = statements
        self._offered: list[int] = []
        self._block = query_text("scratch_costs_if")
        self.round_trips = 0
        self.plans = 0
        self.errors: dict[int, str] = {}

    def size(self, numbers: Sequence[int], sizes: Sequence[Size]) -> None:
        """Let candidates be as large as they would be.

        Raises:
            NoScratch: the file system makes no such files.
        """
        files = _Files(self._cursor, self._data)
        given = [(number, size) for number, size in zip(numbers, sizes, strict=True) if number in self._made]
        try:
            for number, size in given:
                files.give(self._made[number], size.bytes // PAGE, size.height)
        except OSError as error:
            raise NoScratch(f"no files of the indexes' lengths can be made: {error.strerror}") from None
        files.move()
        oids = [self._made[number] for number, _ in given]
        pages = [size.bytes // PAGE for _, size in given]
        self._cursor.execute(_LENGTHS, (oids, pages, [size.rows for _, size in given]))

    def ask(self, questions: Sequence[Question]) -> list[list[Cost | None]]:
        """The cost of each statement of each question; `None` where it cannot be planned.

        Raises:
            Exception: whatever the driver raises.
        """
        asked = sorted({number for question in questions for number in question.statements})
        offers = [[self._made[number] for number in question.indexes if number in self._made] for question in questions]
        request = {
            "offered": self._offered,
            "statements": {number: self._statements[number] for number in asked},
            "questions": [
                [offer, list(question.statements)] for offer, question in zip(offers, questions, strict=True)
            ],
        }
        self._cursor.execute(self._block.replace("'request'", literal(json.dumps(request))))
        answers = json.loads(self._cursor.fetchone()[0])
        self._offered = offers[-1]
        self.round_trips += 1
        self.plans += sum(len(question.statements) for question in questions)
        return [costs_of(question, answer, self.errors) for question, answer in zip(questions, answers, strict=True)]

    def forget(self) -> None:
        """Nothing is left: the server goes."""

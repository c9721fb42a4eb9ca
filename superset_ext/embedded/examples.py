"""Superset's own `load_examples`, with its rows written by COPY: run it as
`python -m superset_ext.embedded.examples`, in the environment of a Superset process.

Stock inserts row by row, 500 rows a statement, and takes five minutes. Only that step is replaced
here. pandas' `to_sql` still makes the tables, so their column types are stock's, and Superset's
importer still makes datasets, charts and dashboards. The tables are not loaded beforehand, because
the importer skips a table only where its dataset exists too.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
from psycopg2 import sql
from pyarrow import csv


class Failures(logging.Handler):
    """Keeps the warnings of a loader that goes on after a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def rows_by_copy() -> Iterator[None]:
    """While this is active, `DataFrame.to_sql` makes the table as before, and fills it by COPY."""
    stock = pd.DataFrame.to_sql

    def to_sql(frame: pd.DataFrame, *args: Any, **options: Any) -> int | None:
        def copy(table: Any, connection: Any, keys: list[str], _rows: Iterator[Any]) -> None:
            _copy(frame, connection.connection, sql.Identifier(table.schema, table.name), keys)

        rows: int | None = stock(frame, *args, **(options | {"method": copy, "chunksize": None}))
        return rows

    pd.DataFrame.to_sql = to_sql
    try:
        yield
    finally:
        pd.DataFrame.to_sql = stock


def _copy(frame: pd.DataFrame, connection: Any, table: sql.Identifier, columns: list[str]) -> None:
    """Copy the rows as CSV: values in quotes, NULL as an empty field without quotes."""
    rows = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="all_valid")
    csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), rows, options)
    rows.seek(0)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with connection.cursor() as cursor:
        cursor.copy_expert(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(table, names), rows)


def main() -> int:
    """Load the examples; returns the exit status, 1 where one of them failed."""
    from superset.app import create_app

    app, failures = create_app(), Failures()
    logging.getLogger("superset.cli.examples").addHandler(failures)
    with app.app_context(), rows_by_copy():
        from superset.cli.examples import load_examples

        load_examples.main(args=[], standalone_mode=False)
    for line in failures.messages:
        print(line, file=sys.stderr)
    return 1 if failures.messages else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A DuckDB file with the table `sales`, as Superset and others write to it; and what Superset knows of it."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from superset_ext.aggregates.files.source import DuckDBSource
from superset_ext.aggregates.opened import opened
from superset_ext.aggregates.service import Wanted, built, planned
from superset_ext.aggregates.tables.catalogue import Kept
from testing.in_process import InProcess
from testing.routed_shop import BY_DAY, Shop, known_to

SALES = """
CREATE TABLE sales (id INTEGER, shop VARCHAR, day DATE, ts TIMESTAMP, amount INTEGER, price DECIMAL(10, 2));
INSERT INTO sales
SELECT i, CASE WHEN i % 7 <> 0 THEN 'shop' || (i % 5) END, date '2024-01-01' + (i % 40)::integer,
    timestamp '2024-01-01' + i * interval 1 hour, nullif(i % 11, 0), i
FROM range(1, 1001) AS numbers(i)
"""
VIRTUAL = "SELECT shop, amount FROM main.sales WHERE price > 10"
JINJA = "SELECT shop, amount FROM sales WHERE shop = '{{ current_username() }}' OR 1 = 1"
_HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""
# A program that writes to files: it opens one for each text, waits for those who read
# it, and closes it.
_WRITE = """
import contextlib, duckdb, json, sys, time
def opened(file, sql):
    until = time.monotonic() + 20
    while True:
        try:
            return duckdb.connect(file, read_only=sql.startswith("SELECT"))
        except duckdb.IOException as error:
            if "lock" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.005)
for line in sys.stdin:
    file, sql = json.loads(line)
    try:
        with contextlib.closing(opened(file, sql)) as connection:
            connection.execute("SET enable_progress_bar = false")
            rows = connection.execute(sql).fetchall()
        print(json.dumps([rows, ""]), flush=True)
    except Exception as error:
        print(json.dumps([[], str(error)]), flush=True)
"""


class DuckShop(Shop):
    """A DuckDB source with the table `sales`; `url` is its file."""

    @property
    def file(self) -> Path:
        """Of the source."""
        return Path(self.url)

    @property
    def folder(self) -> Path:
        """Of its aggregates."""
        return Path(f"{self.url}.superset_ext_aggregates")

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL on the source, as another program that writes to its file; it is closed afterwards."""
        return written(self.file, sql)

    def replace(self, sql: str) -> None:
        """Put another file in the place of the source's, as a load that makes all of it anew."""
        new = self.file.with_suffix(".new")
        fill(new, sql)
        new.replace(self.file)

    def build(self, sql: str = BY_DAY, name: str = "by_day", **options: Any) -> None:
        """Build an aggregate there."""
        make(self.app, self.name, sql, name, **options)

    @property
    def app(self) -> InProcess:
        """Superset."""
        return _apps[self.name]


_apps: dict[str, InProcess] = {}


def make(app: InProcess, database: str, sql: str, name: str, **options: Any) -> None:
    """Build an aggregate on one of Superset's databases."""
    with app.app.app_context():
        plan = planned(app.app, database, sql, Wanted(name, **options))
        built(app.app, app.package.log(), plan)


def fill(file: Path, sql: str = SALES) -> None:
    """Make a new file."""
    file.unlink(missing_ok=True)
    written(file, sql)


@cache
def _writer() -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _WRITE]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.terminate)
    return process


def written(file: Path, sql: str) -> list[Any]:
    """Run SQL on a file as another process, which closes it afterwards; what the last statement gives."""
    process = _writer()
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{json.dumps([str(file), sql])}\n")
    process.stdin.flush()
    rows, error = json.loads(process.stdout.readline())
    assert not error, error
    return list(rows)


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Within it another process has a file open to write."""
    words = [sys.executable, "-c", _HOLD, str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == "open\n"
            yield
        finally:
            process.stdin.close()
            process.wait()


@contextmanager
def duck_shop(app: InProcess, file: Path) -> Iterator[DuckShop]:
    """Make a file, and let Superset know it, which only reads it."""
    fill(file)
    uri = f"duckdb:///{file}?access_mode=READ_ONLY"
    with known_to(app, uri, "main", (VIRTUAL, JINJA)) as shop:
        values = {**vars(shop), "url": str(file)}
        _apps[shop.name] = app
        yield DuckShop(**values)
        del _apps[shop.name]


@contextmanager
def source_of(shop: DuckShop) -> Iterator[DuckDBSource]:
    """The aggregates of a source."""
    with opened(shop.app.app, shop.number) as source:
        assert isinstance(source, DuckDBSource)
        yield source


def kept_of(shop: DuckShop) -> dict[str, Kept]:
    """Its aggregates, by name."""
    with source_of(shop) as source:
        return {one.name: one for one in source.kept()}


def exact_and_different(shop: DuckShop, name: str = "by_day") -> tuple[bool, int]:
    """Whether an aggregate calls itself exact, and how many rows differ from its query by a connection of its own."""
    import duckdb

    one = kept_of(shop)[name]
    chosen = ", ".join(one.view.names.values())
    own = f"SELECT {chosen}, n FROM {one.view.table}"
    base = f"SELECT {chosen}, n FROM ({one.definition.select()}) AS made"
    sql = f"SELECT count(*) FROM (({own} EXCEPT ALL {base}) UNION ALL ({base} EXCEPT ALL {own})) AS d"
    with closing(duckdb.connect(shop.url, read_only=True)) as connection:
        rows: Sequence[Any] = connection.execute(sql).fetchall()
    return one.is_exact, rows[0][0]

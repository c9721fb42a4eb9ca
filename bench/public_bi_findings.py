"""What `perf explain --analyze` says of the queries of Public BI, each finding printed, to be judged by a person.

What a finding says to make, an index or statistics, is made, and the plan's cost after it stands beside the advice.

`PUBLIC_BI` names a clone of github.com/cwida/public_bi_benchmark, or its git directory. The first three queries of each
workbook run on a PostgreSQL of this bench's own. Its tables are not in the clone: each has FINDINGS_ROWS rows, whose
values are those of the benchmark's sample rows, drawn for each column by itself. What PostgreSQL cannot run is named.
`PUBLIC_BI=… python -m bench public_bi_findings` prints the findings and JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from sqlglot import exp

from bench.public_bi import tree
from superset_ext.errors import PlanError
from superset_ext.plans.case import Finding, parsed
from superset_ext.plans.review import Review, review
from testing.databases import postgres_in

ROWS = int(os.environ.get("FINDINGS_ROWS", "100000"))
Judged = tuple[Finding, float | None]
QUERIES = 3  # of a workbook
SECONDS = 60.0
_FILL = """
INSERT INTO {table} SELECT {values} FROM (SELECT {arrays} FROM sample) AS drawn, generate_series(1, {rows})
"""


def main() -> None:
    """Print each finding, and how many there are of a kind."""
    source = os.environ.get("PUBLIC_BI")
    if source is None:
        print("left out: PUBLIC_BI names no clone of github.com/cwida/public_bi_benchmark", file=sys.stderr)
        return
    kinds: Counter[str] = Counter()
    explained: list[str] = []
    left: dict[str, str] = {}
    made: list[float] = []
    with tempfile.TemporaryDirectory() as name, postgres_in(Path(name) / "server") as server:
        for path in _chosen(tree(Path(source), Path(name))):
            try:
                findings = _findings(server.url(), path)
            except (psycopg2.Error, PlanError) as error:
                left[_title(path)] = str(error).partition("\n")[0]
                continue
            explained.append(_title(path))
            kinds.update(finding.kind for finding, _ in findings)
            _show(path, findings)
            made += [share for _, share in findings if share is not None]
    for title, reason in left.items():
        print(f"left out: {title}: {reason}")
    result = {"queries": explained, "left_out": left, "findings": kinds, "rows": ROWS, "cost_of_before": sorted(made)}
    print(json.dumps({"public_bi_findings": result}))


def _chosen(folder: Path) -> Iterator[Path]:
    for workbook in sorted(folder.iterdir()):
        yield from sorted(workbook.glob("queries/*.sql"), key=lambda path: (len(path.name), path.name))[:QUERIES]


def _title(path: Path) -> str:
    return f"{path.parts[-3]}/{path.stem}"


def _findings(url: str, path: Path) -> list[Judged]:
    """The findings of one query, over tables that are made for it and dropped again."""
    sql = path.read_text().strip().rstrip(";").replace(" AS double)", " AS double precision)")
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        for table in sorted(_tables(sql)):
            _make(connection, path.parents[1], table)
        try:
            before = review(connection, sql, SECONDS, analyze=True)
            return [(finding, _made(connection, sql, finding, before)) for finding in before.verdicts.findings]
        finally:
            connection.rollback()
            connection.autocommit = True
            _drop_all(connection)


def _made(connection: Any, sql: str, finding: Finding, before: Review) -> float | None:
    """The cost of the plan, of that before, once what the finding says is made; `None` where it is no statement."""
    if not finding.next_step.startswith("CREATE "):
        return None
    connection.rollback()
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in finding.next_step.split(";"):
            cursor.execute(statement)
        cursor.execute("ANALYZE")
    after = review(connection, sql, SECONDS)
    return round(after.plan.root.cost / before.plan.root.cost, 3)


def _tables(sql: str) -> set[str]:
    select = parsed(sql, "postgresql")
    return {table.name for table in select.find_all(exp.Table)} if select is not None else set()


def _make(connection: Any, workbook: Path, table: str) -> None:
    """A table with rows of the values of its sample."""
    definition = (workbook / "tables" / f"{table}.table.sql").read_text()
    with connection.cursor() as cursor:
        cursor.execute(re.sub(r'(" )double\b', r"\1double precision", definition))
        cursor.execute(f'CREATE TEMPORARY TABLE sample (LIKE "{table}")')
        with (workbook / "samples" / f"{table}.sample.csv").open() as sample:
            cursor.copy_expert("COPY sample FROM STDIN (DELIMITER '|', NULL 'null')", sample)
        cursor.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'sample'::regclass AND attnum > 0")
        names = [f'"{name}"' for (name,) in cursor.fetchall()]
        values = ", ".join(f"drawn.{name}[1 + floor(random() * cardinality(drawn.{name}))]" for name in names)
        arrays = ", ".join(f"array_agg({name}) AS {name}" for name in names)
        cursor.execute(_FILL.format(table=f'"{table}"', values=values, arrays=arrays, rows=ROWS))
        cursor.execute("DROP TABLE sample")
        cursor.execute(f'VACUUM (ANALYZE) "{table}"')


def _drop_all(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'DROP TABLE "{table}"')


def _show(path: Path, findings: list[Judged]) -> None:
    print(f"{_title(path)}: {'nothing' if not findings else ''}", flush=True)
    for finding, share in findings:
        after = "" if share is None else f"; made, the plan costs {share:.3f} of that before"
        gain = f"{finding.gain:.0%}, {finding.sure}{after}"
        print(f"  [{finding.kind}] {finding.evidence}\n    {finding.advice} ({gain})", flush=True)


if __name__ == "__main__":
    main()

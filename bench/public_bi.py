"""How many of Public BI's 646 queries an aggregate could answer that is made for each, by workbook, and why not.

`PUBLIC_BI` names a clone of github.com/cwida/public_bi_benchmark, or its git directory. Tables are made in DuckDB from
its definitions, with the few rows of its samples; where both ran, the answers are compared. Exactly, then with what a
setting may allow: `floats`, `loose` and `ties`. `PUBLIC_BI=… python -m bench public_bi` prints a table and JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlglot import exp

from superset_ext.aggregates.match import Match, match
from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.over import EXACT, Allowed
from superset_ext.aggregates.shape import Shape
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.facts import Facts
from superset_ext.plans.rewrite.rewriting import parsed
from testing.aggregates import Engine, built, differs, duckdb, read

LOOSELY = Allowed(floats=True, loose=True, ties=True)
_STRICT = (exp.Sum, exp.Min, exp.Max, exp.Count)


def tree(source: Path, into: Path) -> Path:
    """The folder `benchmark`, from a clone or its git directory."""
    if (source / "benchmark").is_dir():
        return source / "benchmark"
    archive = subprocess.run(["git", "-C", source, "archive", "HEAD", "benchmark"], check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", into], input=archive.stdout, check=True)
    return into / "benchmark"


def queries(folder: Path) -> Iterator[tuple[str, str]]:
    """Each query with its workbook."""
    for path in sorted(folder.glob("*/queries/*.sql")):
        yield path.parts[-3], path.read_text().strip().rstrip(";")


def fill(engine: Engine, folder: Path) -> None:
    """The tables, with the rows of their samples where these can be read."""
    for path in sorted(folder.glob("*/tables/*.sql")):
        engine.run(path.read_text())
        name = path.name.partition(".")[0]
        sample = path.parents[1] / "samples" / f"{name}.sample.csv"
        with suppress(Exception):  # a sample that does not fit its definition leaves the table empty
            engine.run(f"COPY \"{name}\" FROM '{sample}' (DELIMITER '|', NULL 'null', HEADER false)")


def is_strict(sql: str) -> bool:
    """Whether it groups, and has SUM, MIN, MAX and COUNT of all values alone."""
    select = parsed(sql, "duckdb")
    if isinstance(select, str):
        return False
    aggregates = list(select.find_all(exp.AggFunc))
    plain = all(isinstance(one, _STRICT) and not isinstance(one.this, exp.Distinct) for one in aggregates)
    return bool(select.args.get("group")) and bool(aggregates) and plain


def ask(engine: Engine, facts: Facts, sql: str, result: Counter[str]) -> str:
    """Count what comes of a query; why it is refused, if it is."""
    try:
        shape = read(sql, facts)
        view = built(engine, needs(shape).view("agg"))
    except AggregateRefused as refused:
        return str(refused)
    except Exception as error:  # noqa: BLE001  (whatever the driver raises of an aggregate that cannot be made)
        result["aggregates that cannot be made"] += 1
        return f"it cannot be made: {str(error).partition(chr(10))[0][:80]}"
    answer = match(shape, view, LOOSELY)
    if not isinstance(answer, Match):
        return answer.reason
    result["answered"] += 1
    result["answered exactly"] += isinstance(match(shape, view, EXACT), Match)
    result["strictly additive answered"] += is_strict(sql)
    compare(engine, sql, answer, shape, result)
    return ""


def compare(engine: Engine, sql: str, answer: Match, shape: Shape, result: Counter[str]) -> None:
    """Count whether both texts give the same types and rows."""
    try:
        stock = engine.run(sql)
    except Exception:  # noqa: BLE001  (whatever the driver raises, of a query that does not run there)
        result["do not run on the table itself"] += 1
        return
    ours = engine.run(answer.sql)
    cut = shape.limit is not None and len(stock[1]) == shape.limit
    is_same = stock[0] == ours[0] and (cut or not differs(stock[1], ours[1], LOOSELY))
    result["same types and rows" if is_same else "different"] += 1


def run(source: Path) -> dict[str, Any]:
    """All figures."""
    whole, reasons, strict = Counter[str](), Counter[str](), Counter[str]()
    workbooks: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as into, duckdb() as engine:
        folder = tree(source, Path(into))
        fill(engine, folder)
        facts = engine.facts()
        for workbook, sql in queries(folder):
            result = workbooks.setdefault(workbook, Counter[str]())
            result["queries"] += 1
            result["strictly additive"] += is_strict(sql)
            if reason := ask(engine, facts, sql, result):
                reasons[reason] += 1
                strict[reason] += is_strict(sql)
    for one in workbooks.values():
        whole.update(one)
    return {"whole": dict(whole), "refused": dict(reasons.most_common()),
            "strictly additive refused": dict(+strict),
            "workbooks": {name: [one["answered"], one["queries"]] for name, one in workbooks.items()}}  # fmt: skip


def main() -> None:
    """Print the figures as a table, and as JSON."""
    if "PUBLIC_BI" not in os.environ:
        print("left out: PUBLIC_BI names no clone of github.com/cwida/public_bi_benchmark", file=sys.stderr)
        return
    figures = run(Path(os.environ["PUBLIC_BI"]))
    for name, number in [*figures["whole"].items(), *figures["refused"].items()]:
        print(f"{number:6} {name}")
    print("answered of all, by workbook:", ", ".join(f"{n} {a}/{q}" for n, (a, q) in figures["workbooks"].items()))
    print(json.dumps({"public_bi": figures}))


if __name__ == "__main__":
    main()

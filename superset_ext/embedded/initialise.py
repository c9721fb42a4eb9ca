"""What a stack needs once: databases, Superset's own set-up, the examples; each marked when it is done.

A mark is the comment of the database that it speaks of, so it cannot outlive it. Every step can be
done twice, so a start that was killed in the middle is simply gone on with.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psycopg2
from psycopg2 import sql

import superset_ext
from superset_ext.embedded.addresses import renew_addresses
from superset_ext.embedded.environment import EXAMPLES, METADATA, ROOT, Stack
from superset_ext.embedded.leftovers import sweep
from superset_ext.embedded.parts import guarded
from superset_ext.embedded.progress import Report, step
from superset_ext.errors import StackError

ENTRYPOINT = ROOT / "docker/entrypoint.sh"
MIGRATION = "Running upgrade"
# A line of `entrypoint.sh init` that ends a command of it, and what goes on after that line.
INIT_ENDS = {
    "Migration scripts completed": "roles and permissions",
    "Cleaning faulty perms": "administrator",
    "Admin User": "log tables",
    "User already exists": "log tables",
}
PATIENCE = 5.0


def initialise(stack: Stack, examples: bool) -> None:
    """Bring the databases to what this version needs.

    Raises:
        StackError: a step failed; says which, why, and where all of its output is.
    """
    for name in (METADATA, EXAMPLES):
        stack.postgres.create_database(name)
    renew_addresses(stack.postgres.url(METADATA), stack.postgres.port)
    if _mark(stack, METADATA) != _wanted(stack):
        with step("Preparing Superset's database") as report:
            _run_init(stack, report)
            _set_mark(stack, METADATA, _wanted(stack))
    if examples and not _mark(stack, EXAMPLES):
        with step("Loading the example dashboards") as report:
            _run_examples(stack, report)
            _set_mark(stack, EXAMPLES, f"loaded by Superset {version('apache-superset')}")


def _run_init(stack: Stack, report: Report) -> None:
    total, done = len(migrations()), 0
    report("migrations", 0.0)

    def look(line: str) -> None:
        nonlocal done
        if MIGRATION in line:
            done += 1
            report("migrations", done / total)
        for end, following in INIT_ENDS.items():
            if end in line:
                report(following)

    run_logged("the preparation", [str(ENTRYPOINT), "init"], stack, look)


def _run_examples(stack: Stack, report: Report) -> None:
    total, done = len(list(package("superset").glob("examples/**/*.parquet"))), 0
    report("tables", 0.0)

    def look(line: str) -> None:
        nonlocal done
        if "superset.cli.examples:Loading [" in line:
            done += 1
            report("tables", min(done / total, 1.0))
            if done >= total:
                report("datasets, charts and dashboards")

    run_logged("loading the examples", [sys.executable, "-m", "superset_ext.embedded.examples"], stack, look)


def run_logged(what: str, command: list[str], stack: Stack, look: Callable[[str], None]) -> None:
    """Run a command with its output in `init.log`; each line is shown to `look`.

    Raises:
        StackError: it ended with another status than 0.
    """
    with stack.state.init_log.open("ab") as log:
        process = subprocess.Popen(
            guarded(command), env=stack.environment, cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            last = _follow(process.stdout, log, look)
        except BaseException:  # Ctrl-C too must not leave it running
            sweep(process.pid, PATIENCE)
            raise
    if status := process.wait():
        raise StackError(f"{what} ended with status {status}: {last}; all it said is in {log.name}. To go on: make up")


def _follow(lines: IO[bytes] | None, log: IO[bytes], look: Callable[[str], None]) -> str:
    """Read to the end; returns the last line that says something."""
    last = "no reason given"
    for line in lines or ():
        log.write(line)
        text = line.decode(errors="replace").strip()
        look(text)
        last = text or last
    return last


def package(name: str) -> Path:
    """Where a package lies, without importing it: importing Superset takes nine seconds."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"{name} is not installed; delete .venv and run: make up")
    return Path(spec.submodule_search_locations[0])


@lru_cache(maxsize=1)
def migrations() -> list[str]:
    """The names of Superset's migrations."""
    return sorted(path.name for path in package("superset").glob("migrations/versions/*.py"))


def _wanted(stack: Stack) -> str:
    """What the set-up depends on, and the revision that the database is at: if somebody moved that, it is done anew."""
    parts = [version("apache-superset"), superset_ext.__version__, *migrations(), ENTRYPOINT.read_text()]
    files = [*(ROOT / "sql").glob("[sv]*/*.sql"), *(ROOT / "superset_ext/monitor/dashboards/assets").rglob("*.yaml")]
    parts += [path.read_text() for path in sorted(files)]
    return f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]} at revision {_revision(stack)}"


def _revision(stack: Stack) -> str:
    if not _query(stack, METADATA, "SELECT 1 FROM pg_tables WHERE tablename = 'alembic_version'"):
        return "none"
    return str(_query(stack, METADATA, "SELECT string_agg(version_num, ',') FROM alembic_version"))


def _mark(stack: Stack, name: str) -> str:
    question = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    return str(_query(stack, name, question) or "")


def _set_mark(stack: Stack, name: str, mark: str) -> None:
    with closing(psycopg2.connect(stack.postgres.url(name))) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(mark)))


def _query(stack: Stack, name: str, question: str) -> object:
    """The first value that a question is answered with, `None` for no row."""
    with closing(psycopg2.connect(stack.postgres.url(name))) as connection, connection.cursor() as cursor:
        cursor.execute(question)
        row = cursor.fetchone()
        return row[0] if row else None

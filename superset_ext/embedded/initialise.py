"""What a stack needs once: databases, Superset's own set-up, the examples; each is marked when it is done.

Every step can run twice, so a start that was killed in the middle goes on from there.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import IO

from superset_ext.embedded.addresses import renew_addresses
from superset_ext.embedded.marks import mark, migrations, package_folder, set_mark, wanted_mark
from superset_ext.embedded.parts import guarded
from superset_ext.embedded.processes import end_group
from superset_ext.embedded.progress import Report, step
from superset_ext.embedded.stack import ENTRYPOINT, EXAMPLES, METADATA, ROOT, Stack
from superset_ext.errors import StackError

MIGRATION = "Running upgrade"
# A line that ends one command of `entrypoint.sh init`, and what that script does next.
INIT_ENDS = {
    "Migration scripts completed": "roles and permissions",
    "Cleaning faulty perms": "administrator",
    "Admin User": "log tables",
    "User already exists": "log tables",
}
PATIENCE = 5.0
# What programs say of a full disk; what follows it may be no more than «SQLAlchemyError: ()».
_FULL = ("No space left on device", "DiskFull", "Disk quota exceeded", "database or disk is full")


def initialise(stack: Stack, examples: bool) -> None:
    """Bring the databases to what this version needs.

    Raises:
        StackError: a step failed; the message names the step, the reason, and the file with its whole output.
    """
    for name in (METADATA, EXAMPLES):
        stack.postgres.create_database(name)
    renew_addresses(stack.postgres.url(METADATA), stack.postgres.port)
    if mark(stack, METADATA) != wanted_mark(stack):
        with step("Preparing Superset's database") as report:
            _run_init(stack, report)
            set_mark(stack, METADATA, wanted_mark(stack))
    if examples and not mark(stack, EXAMPLES):
        with step("Loading the example dashboards") as report:
            _run_examples(stack, report)
            set_mark(stack, EXAMPLES, f"loaded by Superset {version('apache-superset')}")


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

    _run_logged("the preparation", [str(ENTRYPOINT), "init"], stack, look)


def _run_examples(stack: Stack, report: Report) -> None:
    total, done = len(list(package_folder("superset").glob("examples/**/*.parquet"))), 0
    report("tables", 0.0)

    def look(line: str) -> None:
        nonlocal done
        if "superset.cli.examples:Loading [" in line:
            done += 1
            report("tables", min(done / total, 1.0))
            if done >= total:
                report("datasets, charts and dashboards")

    _run_logged("loading the examples", [sys.executable, "-m", "superset_ext.embedded.examples"], stack, look)


def _run_logged(title: str, command: list[str], stack: Stack, look: Callable[[str], None]) -> None:
    """Run a command with its output in `init.log`, and call `look` with each line."""
    with stack.state.init_log.open("ab") as log:
        process = subprocess.Popen(
            guarded(command), env=stack.environment, cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            reason = _follow(process.stdout, log, look)
        except BaseException:  # Ctrl-C too must not leave it running
            end_group(process.pid, PATIENCE)
            raise
    if status := process.wait():
        if is_full(reason):
            reason = f"the disk of {stack.state.path} is full ({reason}); free some space"
        raise StackError(f"{title} ended with status {status}: {reason}; see {log.name}, then go on with: make up")


def is_full(text: str) -> bool:
    """Whether a program's words say that a disk is full."""
    return any(word in text for word in _FULL)


def first_line(error: Exception) -> str:
    """The first line of an error's text; its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _follow(lines: IO[bytes] | None, log: IO[bytes], look: Callable[[str], None]) -> str:
    """Read to the end; returns the line that says that a disk is full, or else the last one that is not empty."""
    last, full = "no reason given", ""
    for line in lines or ():
        log.write(line)
        text = line.decode(errors="replace").strip()
        look(text)
        last = text or last
        full = full or (text if is_full(text) else "")
    return full or last

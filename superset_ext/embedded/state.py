"""The state directory: what a stack keeps between two starts, and the lock that lets one stack use it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from superset_ext.embedded.files import again, read_secret, read_text, write_whole
from superset_ext.embedded.ports import free_port, is_free
from superset_ext.embedded.running import is_port, parsed
from superset_ext.errors import StackError

MIB = 1024**2
FIRST_START_BYTES = 1024 * MIB  # measured: 450 MB after the examples, and as much again while they load
LATER_START_BYTES = 128 * MIB
_LOST = {
    "secret.key": "what Superset has encrypted needs that key: put it back from a copy, or begin anew with: make up"
    " STATE_DIR=<a new directory>"
}


class StateDir:
    """The files of one stack; `prepare` makes the directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.postgres = self.path / "postgres"
        self.valkey = self.path / "valkey"
        self.home = self.path / "superset"
        self.schedule = self.path / "beat-schedule"
        self.init_log = self.path / "init.log"
        self._lock = self.path / "stack.lock"
        self._running = self.path / "running.json"

    @property
    def has_data(self) -> bool:
        """Whether it holds data of a PostgreSQL, of any version."""
        return (self.postgres / "PG_VERSION").exists()

    def prepare(self) -> None:
        """Make the directory, and check that it is a stack's, can be written, and has room.

        Raises:
            StackError: it holds something else, cannot be written, or its disk is nearly full.
        """
        self._refuse_strangers()
        try:
            for folder in (self.path, self.home):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.touch(mode=0o600)
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be written ({error.strerror}); run: make up STATE_DIR=<a directory of yours>"
            ) from None
        self._refuse_full_disk()

    def _refuse_strangers(self) -> None:
        """A folder with other contents may hold a `postgres` that must not be taken for an unfinished one of ours."""
        try:
            foreign = self.path.is_dir() and not self._lock.exists() and any(self.path.iterdir())
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be read ({error.strerror}); run: make up STATE_DIR=<another>"
            ) from None
        if foreign or (self.path.exists() and not self.path.is_dir()):
            raise StackError(f"{self.path} was not made by this stack; run: make up STATE_DIR=<a new directory>")

    def _refuse_full_disk(self) -> None:
        needed = LATER_START_BYTES if self.has_data else FIRST_START_BYTES
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise StackError(
                f"{free // MIB} MB are free on the disk of {self.path}, {needed // MIB} MB are needed;"
                " free some, or run: make up STATE_DIR=<a directory on another disk>"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory for this process; the kernel releases the lock however the process ends.

        Raises:
            StackError: another stack runs on it.
        """
        descriptor = os.open(self._lock, os.O_RDWR)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(
                    f"a stack already runs on {self.path}, at port {self._port_of_web()}; stop it with: make down"
                    " — or run: make up PORT=<another> STATE_DIR=<another>"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def _port_of_web(self) -> object:
        with suppress(StackError):
            return self.running().get("ports", {}).get("web", "another port")
        return "another port"

    def adopt(self) -> None:
        """Forget the ports that a copied or moved directory names: they are those of the stack it was copied from."""
        if read_text(self._lock) not in ("", self._real_path):
            for file in self.path.glob("*.port"):
                file.unlink()
        self._lock.write_text(self._real_path)  # in place: whoever holds the lock has this very file open

    @property
    def _real_path(self) -> str:
        return str(self.path.resolve())

    def is_locked(self) -> bool:
        """Whether a stack runs on the directory."""
        if not self._lock.exists():
            return False
        try:
            with self.locked():
                return False
        except StackError:
            return True

    def running(self) -> dict[str, Any]:
        """The note of the stack that runs here, or that was killed; empty where there is none.

        A note that came with a copy of another directory is none: the processes that it names are not ours to end.

        Raises:
            StackError: it holds something else than a stack writes.
        """
        if not self._running.exists():
            return {}
        note = parsed(read_text(self._running))
        if note is None:
            raise StackError(f"{self._running} holds something else than a stack writes; {again(self._running)}")
        return note if note["state_dir"] == self._real_path else {}

    def note(self, running: dict[str, Any] | None) -> None:
        """Note what runs, or with `None` that nothing does; a reader never sees half of a note."""
        if running is None:
            self._running.unlink(missing_ok=True)
            return
        write_whole(self._running, json.dumps({"state_dir": self._real_path, **running}, indent=1))

    def secret(self, name: str, length: int = 32) -> str:
        """A secret of `length` random bytes, which the first call makes and keeps for its owner alone to read.

        Raises:
            StackError: its file is empty or cannot be read.
        """
        file = self.path / name
        if not file.exists():
            write_whole(file, secrets.token_urlsafe(length))
        return read_secret(file, _LOST.get(name, again(file)))

    def port(self, name: str) -> int:
        """A port that the first call chooses and later ones return, until another program has taken it.

        Raises:
            StackError: its file holds something else.
        """
        file = self.path / f"{name}.port"
        kept = self._kept_port(file) if file.exists() else 0
        if not kept or not is_free(kept):
            kept = free_port()
            write_whole(file, str(kept))
        return kept

    def _kept_port(self, file: Path) -> int:
        text = read_text(file).strip()
        if not (text.isdecimal() and is_port(int(text[:6]))):
            raise StackError(f"{file} holds {text[:20]!r}, which is no port; {again(file)}")
        return int(text)

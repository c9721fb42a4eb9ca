"""Connections whose answers are read later, on a real server: one answer is never taken for another's."""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import psycopg2
import pytest

from superset_ext.grants.connections import Connections, NoneFree, connected, wait
from testing.warming import until

PATIENCE = 60.0
SILENT = "SELECT pg_sleep(600)"
Pool = Callable[..., Connections]


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    """Makes pools."""

    def made(size: int = 1, recycle: float = 300, patience: float = 0.01, **how: Any) -> Connections:
        plain = partial(psycopg2.connect, database_url, application_name="asked", **how)
        pools.append(Connections(partial(connected, plain, PATIENCE), size, patience, recycle))
        return pools[-1]

    pools: list[Connections] = []
    yield made
    for one in pools:
        one.dispose()


def pid(pool: Connections) -> int:
    """The process of the server that answers."""
    return int(pool.send("SELECT pg_backend_pid()", ()).row(PATIENCE)[0])


def _backends(database_url: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'asked'")
        return cursor.fetchall()


def test_a_connection_is_used_again(pool: Pool, database_url: str) -> None:
    """Intent: one is made for many statements, and the one that showed how to connect is closed."""
    one = pool()
    number = pid(one)
    assert [pid(one), pid(one)] == [number] * 2
    until(lambda: _backends(database_url) == [(number,)], PATIENCE)


def test_it_leads_to_where_the_other_one_leads(pool: Pool) -> None:
    """Intent: what somebody has set for Superset's connections is kept: options, and so the search path."""
    one = pool(options="-c search_path=elsewhere")
    assert one.send("SELECT current_setting('search_path')", ()).row(PATIENCE) == ("elsewhere",)


def test_what_was_sent_is_read_later_and_once(pool: Pool) -> None:
    """Intent: two are under way at once, each with its own answer."""
    one = pool(2)
    first, second = one.send("SELECT %s", ("first",)), one.send("SELECT %s", ("second",))
    assert (second.row(PATIENCE), first.row(PATIENCE)) == (("second",), ("first",))
    with pytest.raises(LookupError):
        first.row(PATIENCE)
    both = one.send("SELECT 1", ()), one.send("SELECT 2", ())  # neither has to wait
    assert [sent.row(PATIENCE) for sent in both] == [(1,), (2,)]


def test_what_nobody_reads_is_nobody_elses_answer(pool: Pool) -> None:
    """Intent: an answer that is there by then goes with the next statement; one that is not takes its connection with
    it, and nobody waits for it."""
    one = pool()
    number = pid(one)
    sent = one.send("SELECT 1", ())
    connection = sent._connection
    assert connection is not None
    until(lambda: select.select([connection.raw], [], [], 0)[0], PATIENCE)
    sent.drop()
    assert pid(one) == number
    one.send(SILENT, ()).drop()
    assert one.send_now("SELECT 1", ()) is None  # it may come yet
    assert pid(one) != number
    number = pid(one)
    one.send("SELECT FROM nothing", ()).drop()
    assert pid(one) != number


def test_each_reads_its_own_answer(pool: Pool) -> None:
    """Intent: many at once, of whom some drop what they have sent, on few connections."""
    one = pool(3, patience=PATIENCE)

    def ask(number: int) -> list[tuple[Any, int]]:
        draw, answers = random.Random(number), list[tuple[Any, int]]()
        for step in range(200):
            value = number * 1000 + step
            sent = one.send_now("SELECT %s", (value,)) if draw.random() < 0.3 else one.send("SELECT %s", (value,))
            if sent is not None and draw.random() < 0.4:
                sent.drop()
            elif sent is not None:
                answers.append((sent.row(PATIENCE), value))
        return answers

    with ThreadPoolExecutor(8) as threads:
        all_answers = [pair for answers in threads.map(ask, range(8)) for pair in answers]
    assert len(all_answers) > 500 and all(row == (value,) for row, value in all_answers)
    assert len(one._idle) <= 3


def test_a_statement_that_was_refused_costs_its_connection(pool: Pool) -> None:
    """Intent: who asks is told by the server's own error, and the next one has another connection."""
    one = pool()
    number = pid(one)
    with pytest.raises(psycopg2.errors.UndefinedTable):
        one.send("SELECT FROM nothing", ()).row(PATIENCE)
    assert pid(one) != number


def test_nobody_waits_longer_than_was_said(pool: Pool) -> None:
    """Intent: the server is silent; who waits is told so, and the connection is not used again."""
    one = pool()
    number = pid(one)
    with pytest.raises(TimeoutError):
        one.send(SILENT, ()).row(0.05)
    assert pid(one) != number


class _Wandering:
    """A connection that is being made: the driver tries one address after the other, each by another socket."""

    def __init__(self) -> None:
        self.pairs = [socket.socketpair() for _ in range(2)]
        self.pairs[0][1].send(b"no")
        self.polls = 0

    def poll(self) -> int:
        self.polls += 1
        if self.polls == 2:
            for one in self.pairs[0]:
                one.close()
        return 1

    def fileno(self) -> int:
        return self.pairs[0 if self.polls < 2 else 1][0].fileno()


def test_nobody_waits_longer_where_a_socket_is_replaced() -> None:
    """Intent: a socket that was closed is always ready; it must not be looked at any more."""
    raw = _Wandering()
    with pytest.raises(TimeoutError):
        wait(raw, 0.05)
    assert raw.polls < 20
    for one in raw.pairs[1]:
        one.close()


def test_who_finds_all_connections_in_use_waits_for_a_moment(pool: Pool) -> None:
    """Intent: requests do not queue for the check; its place is free again afterwards."""
    one = pool()
    sent = one.send("SELECT 1", ())
    with pytest.raises(NoneFree):
        one.send("SELECT 2", ())
    assert one.send_now("SELECT 2", ()) is None
    assert sent.row(PATIENCE) == (1,)
    assert pid(one)


def test_who_has_to_have_one_comes_before_who_need_not(pool: Pool) -> None:
    """Intent: those who ask early take no connection for which others wait."""
    one = pool(patience=PATIENCE)
    number = pid(one)
    sent = one.send("SELECT 1", ())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pid, one)
        until(lambda: one._waiting == 1, PATIENCE)
        assert sent.row(PATIENCE) == (1,) and waiting.result() == number
    one._waiting = 1  # as it is until who waits runs
    assert one.send_now("SELECT 2", ()) is None
    one._waiting = 0
    early = one.send_now("SELECT 2", ())
    assert early is not None and early.row(PATIENCE) == (2,)


def test_nothing_is_connected_for_what_is_sent_at_once(pool: Pool, database_url: str) -> None:
    """Intent: who asks early waits for no connection to be made; where one is idle, it is used."""
    one = pool()
    assert one.send_now("SELECT 1", ()) is None and _backends(database_url) == []
    number = pid(one)
    sent = one.send_now("SELECT pg_backend_pid()", ())
    assert sent is not None and sent.row(PATIENCE) == (number,)


def test_a_connection_that_was_closed_meanwhile_is_seen(pool: Pool, database_url: str) -> None:
    """Intent: a server ends connections that nobody uses; who asks is told, and its place is free again."""
    one = pool()
    number = pid(one)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", (number,))
    until(lambda: not _backends(database_url), PATIENCE)
    sent = one.send_now("SELECT 1", ())
    if sent is not None:
        with pytest.raises(psycopg2.OperationalError):
            sent.row(PATIENCE)
    assert pid(one) != number


def test_an_old_connection_is_not_used_again(pool: Pool) -> None:
    """Intent: what a proxy or a server closes by age is gone before somebody asks over it."""
    one = pool(recycle=-1)
    assert pid(one) != pid(one)
    assert one.send_now("SELECT 1", ()) is None


def test_a_server_that_cannot_be_reached_leaves_room(pool: Pool) -> None:
    """Intent: each try says so; none keeps its place."""
    one = pool(port=1)
    for _ in range(3):
        with pytest.raises(psycopg2.OperationalError):
            one.send("SELECT 1", ())

"""Questions that are asked together: what comes while others are asked waits for the next round, and never longer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from superset_ext.grants import rounds
from superset_ext.grants.rounds import Rounds


class Server:
    """Answers each question with the number of its round, once it is let go on."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, questions: Sequence[str]) -> Sequence[int]:
        self.asked.append(list(questions))
        self.began.release()
        self.go.acquire()
        return [len(self.asked)] * len(questions)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    tick = threading.Event()
    while not condition():
        tick.wait(0.001)


def beside(asking: Rounds[str], threads: ThreadPoolExecutor, questions: Sequence[str]) -> list[Future[list[Any]]]:
    """Put questions, no two of them the same, each by a thread of its own; who was first asks for all."""
    put = []
    for question in questions:
        put.append(threads.submit(asking.answers, question))
        until(partial(is_waiting, asking, question))
    return put


def is_waiting(asking: Rounds[str], question: str) -> bool:
    return question in waiting(asking)


def waiting(asking: Rounds[str]) -> list[str]:
    """The questions of the round that has not begun."""
    return [] if asking._next is None else list(asking._next.questions)


def test_who_comes_while_the_server_is_asked_is_answered_by_the_next_round() -> None:
    """Intent: an answer is never of a moment before its question; those that wait are asked by one statement."""
    server = Server()
    asking = Rounds[str](server)
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(asking.answers, "a")
        server.began.acquire()
        later = beside(asking, threads, ["a", "b", "c"])
        server.go.release()
        server.began.acquire()
        last = beside(asking, threads, ["a"])
        server.go.release(2)
        assert first.result() == [1]
        assert [one.result() for one in later] == [[2]] * 3
        assert [one.result() for one in last] == [[3]]
    assert server.asked == [["a"], ["a", "b", "c"], ["a"]]


def test_questions_of_one_caller_are_of_one_moment() -> None:
    """Intent: what is asked together is answered by one round, in the order of the questions, each asked once."""
    server = Server()
    server.go.release()
    assert Rounds[str](server).answers("b", "a", "b") == [1, 1, 1]
    assert server.asked == [["b", "a"]]


def test_a_round_has_so_many_questions_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a statement stays short, however many ask; nobody is left out."""
    monkeypatch.setattr(rounds, "MOST", 2)
    server = Server()
    asking = Rounds[str](server)
    with ThreadPoolExecutor(6) as threads:
        put = [threads.submit(asking.answers, "first")]
        server.began.acquire()
        put += beside(asking, threads, ["a", "b"])
        put.append(threads.submit(asking.answers, "c"))
        until(lambda: waiting(asking) == ["c"])
        server.go.release(9)
        assert all(one.result() != [None] for one in put)
    assert sorted(map(len, server.asked)) == [1, 1, 2]


def test_a_server_that_fails_leaves_nobody_waiting() -> None:
    """Intent: whatever asking raises, those who share the round are told that there is no answer; the next is
    asked."""
    began, go = threading.Event(), threading.Event()
    answers: list[list[str] | Exception] = [["first"], ValueError("away"), ["again"]]

    def ask(_: Sequence[str]) -> Sequence[str]:
        began.set()
        go.wait()
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    asking = Rounds[str](ask)
    with ThreadPoolExecutor(3) as threads:
        threads.submit(asking.answers, "a")
        began.wait()
        failed, shared = beside(asking, threads, ["b", "c"])
        go.set()
        assert shared.result() == [None]
        with pytest.raises(ValueError, match="away"):
            failed.result()
    assert asking.answers("d") == ["again"]

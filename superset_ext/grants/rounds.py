"""Questions of many threads to one server, asked together: those that come while it is asked wait for the next turn.

An answer is of a moment after its question was put: a round takes in no question once it has begun. A browser sends
half a dozen requests at once, each of which asks whether anything was written; one statement answers for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Question = TypeVar("Question")

MOST = 16  # questions of one round


@dataclass(slots=True)
class _Round(Generic[Question]):
    questions: dict[Question, None] = field(default_factory=dict)
    answers: dict[Question, Any] = field(default_factory=dict)
    ends: threading.Lock = field(default_factory=threading.Lock)  # held by who asks, until there are answers


class Rounds(Generic[Question]):
    """Asks in rounds, one at a time.

    Args:
        ask: answers questions in their order; it comes to an end by itself.
    """

    def __init__(self, ask: Callable[[Sequence[Question]], Sequence[Any]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._next: _Round[Question] | None = None  # which has not begun

    def answers(self, *questions: Question) -> list[Any]:
        """The answers, all of one moment; `None` for each where there is none."""
        with self._lock:
            leads = self._next is None or len(self._next.questions) >= MOST
            if leads:
                self._next = _Round()
                self._next.ends.acquire()
            shared: Any = self._next
            shared.questions.update(dict.fromkeys(questions))
        if leads:
            self._run(shared)
        else:
            with shared.ends:
                pass
        return [shared.answers.get(question) for question in questions]

    def _run(self, shared: _Round[Question]) -> None:
        try:
            with self._turn:
                self._begin(shared)
                asked = list(shared.questions)
                shared.answers = dict(zip(asked, self._ask(asked), strict=True))
        finally:
            shared.ends.release()

    def _begin(self, shared: _Round[Question]) -> None:
        with self._lock:
            if self._next is shared:
                self._next = None

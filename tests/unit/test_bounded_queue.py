"""The queue of what waits to be written: bounded, in order, and its parent's alone after a fork."""

from __future__ import annotations

import os

from superset_ext.core.bounded_queue import BoundedQueue


def test_what_does_not_fit_is_dropped_and_counted_once() -> None:
    """Intent: a flood costs memory for so many items, and whoever writes can say how many it has cost."""
    queue: BoundedQueue[str] = BoundedQueue(3, 10, len)
    assert [queue.put(item) for item in ("four", "long enough", "six...", "x")] == [True, False, True, False]
    assert (len(queue), queue.dropped, queue.newly_dropped(), queue.newly_dropped()) == (2, 2, 2, 0)
    queue.drop(3)
    assert (queue.dropped, queue.newly_dropped()) == (5, 3)


def test_what_is_being_written_still_counts() -> None:
    """Intent: while a slow database takes one batch, no second queue grows behind it."""
    queue: BoundedQueue[int] = BoundedQueue(2)
    queue.put(1)
    queue.put(2)
    taken = queue.take(1)
    assert (taken, queue.put(3)) == ([1], False)
    queue.done(taken)
    assert (queue.put(3), queue.take()) == (True, [2, 3])


def test_what_could_not_be_written_keeps_its_place() -> None:
    """Intent: an outage changes no order."""
    queue: BoundedQueue[int] = BoundedQueue(10)
    for number in range(4):
        queue.put(number)
    queue.give_back(queue.take(2))
    assert queue.take() == [0, 1, 2, 3]


def test_a_child_does_not_write_what_its_parent_will() -> None:
    """Intent: nothing is written twice because a server forks."""
    queue: BoundedQueue[int] = BoundedQueue(10)
    queue.put(1)
    child = os.fork()
    if not child:
        os._exit(len(queue) + len(queue.take()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert queue.take() == [1]

"""The epochs of watched tables: which commits notify, and why no commit is missed.

**Promise.** For every commit that changes a watched table, the caches are told of the table after the commit: within
milliseconds if the commit notifies; otherwise within `ROUND_SECONDS` and the time that the calls take; and after a
lost connection, once the listener is connected again. The argument compares no clocks.

**The problem.** PostgreSQL takes one lock for all commits that notify, so a NOTIFY in every commit would make them
queue. That is why almost no commit notifies.

**Epochs.** Each watched table has an *epoch*: a number in a sequence. A sequence changes at once and for every session,
and no rollback takes the change back.

- *Armed* (an even epoch): the trigger notifies, and sends the epoch along, unless its session has notified in this
  epoch already. The session keeps that in a setting of its own. A rollback, to a savepoint too, takes the setting back
  together with the notification.
- *Muted* (an odd epoch): the trigger does nothing.

`mute` turns the epoch of a notification into the odd one after it, but only if that epoch is still the current one.
`arm` begins the next even epoch.

**What the listener does with a table:**

1. *Cold*: nothing. The table is armed.
2. *Hot*, from the moment it hears a notification: it stamps the table and mutes it, and stamps it again every
   `ROUND_SECONDS`.
3. *Cooling*, after `HOT_SECONDS`: it arms the table. After that it asks for the table's *writers*: the open
   transactions that hold a lock, on the table or a member of it, of a kind that writing takes. It stamps once more, and
   again whenever a writer has ended. When all of them have, the table is cold.

**Why no commit is missed.** A statement of transaction X changes the table, its trigger reads epoch e, and X commits
later. X takes its writer's lock before it reads e, and holds it until everybody can see what X did. The trigger has
three ways to go:

1. It notifies. The listener hears that once everybody can see what X did, and a stamp follows.
2. It is silent because its session has notified in e before. If X itself did, that is case 1. Otherwise it was an
   earlier transaction of the session. That one has committed: a rollback would have taken the setting back.
3. It is silent because e is odd. Then a listener has muted e - 1, since it heard of a commit that notified in e - 1.

In cases 2 and 3 there is an earlier commit that notified. Every listener that listened at that commit hears of it, and
the table is hot from then on until an arming. Call that arming A.

- X read e before A. For A begins a later epoch, and e never comes back: `mute` compares before it writes, so a late
  call for e - 1 changes nothing.
- The writers are asked for after A. Either X has ended by then, and the stamp that follows comes after X's commit. Or X
  is one of the writers, and a stamp follows its end.

For example, a session notifies at 0.0 s, writes again in a new transaction at 0.9 s without a word, and commits that
at 5 s. The table is armed at about 1 s. The second transaction is a writer then, and a stamp follows its end.

*Prepared transactions.* PREPARE TRANSACTION keeps the locks, under another name. So every prepared transaction among
the writers counts as one that was there before. PostgreSQL refuses to prepare a transaction that has notified, which is
why `watch add` asks whether anybody prepares any.

*A new connection*, the first one or a later one, has heard nothing before it. It listens, then arms every table, then
asks for the writers and stamps all tables. A transaction that read an epoch before that arming has ended by then or is
a writer. One that reads an epoch later is in cases 1 to 3.

*Several listeners* do not disturb each other: `mute` compares, so the muting of one cannot undo the arming of another.

*Missing triggers* (a part was attached; a table was made anew or swapped by name, as dbt does) are found by looking.
Where event triggers are allowed, the commit of such DDL notifies, and the listener looks at once; elsewhere it looks
every `LOOK_SECONDS`. The table is stamped before its trigger is made, and again after it: CREATE TRIGGER waits for all
writers, so the stamp after it covers what they did. While a trigger cannot be made, because somebody writes to the new
table for long or the right to make it is missing, the table is stamped every `ROUND_SECONDS`, and a warning says why.

*A stamp that fails* is owed, and tried again in every round.

**Not covered** is what fires no trigger: logical replication, foreign tables, and rows written while an owner had the
triggers disabled. That they were disabled is noticed as DDL.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

ROUND_SECONDS = 0.05
HOT_SECONDS = 1.0
MANY_WRITERS = 2  # that come within a round
_PREPARED = "-1/"  # what the name of a prepared transaction begins with

Writers = frozenset[str]


class Epochs:
    """The hot and the cooling tables of one connection, by the numbers of their watches. Used by one thread.

    Attributes:
        hot: when each hot table is to be armed, by the monotonic clock.
        cooling: the writers of each cooling table; `None` until they were asked for.
    """

    def __init__(self) -> None:
        self.hot: dict[int, float] = {}
        self.cooling: dict[int, Writers | None] = {}
        self._heard: dict[int, int] = {}  # the epochs that are to be muted
        self._writers_before: dict[int, Writers] = {}  # of hot tables whose time is over, in the round before

    def hear(self, number: int, epoch: int) -> None:
        """A commit has notified of a table: it is hot, and its epoch is to be muted."""
        self.heat(number, HOT_SECONDS)
        self._heard[number] = max(epoch, self._heard.get(number, 0))

    def heat(self, number: int, seconds: float) -> None:
        """Make a table hot for so many seconds. Its writers are asked for anew after the next arming."""
        self._writers_before.pop(number, None)
        self.cooling.pop(number, None)
        self.hot[number] = time.monotonic() + seconds

    def forget(self, number: int) -> None:
        """A table is not watched any more."""
        for known in (self.hot, self._writers_before, self.cooling):
            known.pop(number, None)

    def clear(self) -> None:
        """No table is watched any more."""
        for known in (self.hot, self._writers_before, self.cooling):
            known.clear()

    def mute_heard(self, cursor: Any) -> None:
        """Mute the epochs that were heard."""
        mute(cursor, self._heard)

    def forget_heard(self) -> None:
        """Nothing is to be muted any more."""
        self._heard.clear()

    def next_round(self, cursor: Any) -> list[tuple[int, bool]]:
        """Arm the tables whose time is over.

        The order is the argument's: the arming, then the question for the writers, then the stamps.

        Returns:
            The tables to stamp now, each with whether that repeats an earlier stamp.
        """
        self._arm(cursor)
        writing = writers(cursor, self.cooling)
        due = [stamp for number in list(self.cooling) for stamp in self._cool(number, writing[number])]
        return due + [(number, True) for number in self.hot]

    def _arm(self, cursor: Any) -> None:
        over = [number for number, until in self.hot.items() if until <= time.monotonic()]
        quiet = [number for number, writing in writers(cursor, over).items() if self._is_quiet(number, writing)]
        if quiet:
            arm(cursor, quiet)
        for number in quiet:
            del self.hot[number]
            self.cooling[number] = None

    def _is_quiet(self, number: int, writing: Writers) -> bool:
        """Whether a table may be armed.

        While many write, it stays hot: once armed, all their sessions would notify at once and wait for each other.
        What counts is how many writers have come since the round before, because some stay for hours.
        """
        before = self._writers_before.pop(number, None)
        if before is None:
            self._writers_before[number] = writing
            return False
        if len(writing - before) < MANY_WRITERS:
            return True
        self.hot[number] = time.monotonic() + HOT_SECONDS
        return False

    def _cool(self, number: int, writing: Writers) -> list[tuple[int, bool]]:
        """The stamp that is due if a writer of a cooling table has ended. A table without writers is cold."""
        before = self.cooling[number]
        left = writing if before is None else _left(before, writing)
        self.cooling[number] = left
        if not left:
            del self.cooling[number]
        return [(number, before is None)] if before is None or before - left else []


def _left(before: Writers, now: Writers) -> Writers:
    """The writers that have not ended: the same ones, and all prepared ones, since one of them may have become that."""
    return frozenset(writer for writer in now if writer in before or writer.startswith(_PREPARED))


def mute(cursor: Any, heard: Mapping[int, int]) -> None:
    """Mute tables, by number, whose epoch is still the one that was heard."""
    for number, epoch in sorted(heard.items()):
        cursor.execute("SELECT superset_ext_watch.mute(%s, %s)", (number, epoch))


def arm(cursor: Any, numbers: Collection[int]) -> None:
    """Begin a new epoch: the next commit of each session notifies of these tables."""
    cursor.execute("SELECT superset_ext_watch.arm(%s)", (list(numbers),))


def writers(cursor: Any, numbers: Collection[int]) -> dict[int, Writers]:
    """The open transactions that may have written to each table; prepared ones begin with `-1/`."""
    if not numbers:
        return {}
    cursor.execute("SELECT id, writer FROM superset_ext_watch.writers(%s)", (list(numbers),))
    rows = cursor.fetchall()
    return {number: frozenset(writer for watch, writer in rows if watch == number) for number in numbers}

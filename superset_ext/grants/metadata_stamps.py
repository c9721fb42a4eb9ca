"""Whether anything on the metadata database has changed that rights and answers depend on; PostgreSQL only.

Statement triggers append the id of each transaction that writes a watched table to a table of ours (`sql/grants`). A
**mark** is the snapshot of one moment, with what names the triggers and this run of the server. It holds while no row
of that table comes from a transaction that the snapshot does not see. A row that names a dashboard, of which nothing
but contents were written, counts only where that dashboard was read; with a number less than 0, where nothing but its
colors were, and they matter. That is exact, whatever the order in which transactions end: who had committed by then is
seen by the snapshot, and who commits later adds a row that it does not see. Nobody waits for a row that others write,
as they would for a counter; and a sequence would be ahead of what its transaction has made visible.

`tables` says which are watched. `superset perf upgrade` makes the triggers. A web process makes nothing: it looks, by
Superset's own connection, whether each of the tables that Superset reads tells of every write. A mark is given only
while the triggers are those that were looked at, and no replica says so. Nobody waits for the server longer than a
moment; while it is silent, nothing is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any, cast

from sqlalchemy.engine import Engine

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.warn_once import warn
from superset_ext.core.within import Within
from superset_ext.errors import MetadataSilent, Unanswerable
from superset_ext.grants import triggers
from superset_ext.grants.connections import Connections, NoneFree, Sent
from superset_ext.grants.early import Early
from superset_ext.grants.held import Asked, Held, Question, asked_of
from superset_ext.grants.looks import looked, why
from superset_ext.grants.planned import HELD, STILL, is_unplanned, planned, still
from superset_ext.grants.triggers import is_possible

_NOW = "SELECT pg_current_snapshot()::text, superset_ext_grants.anchor()"
_TIDY = "SELECT superset_ext_grants.tidy()"
_POOL = 16
_WAIT = 0.25  # seconds for a connection of the pool, and for an answer
_CONNECT = 1.0  # seconds for a connection to be made
_RECYCLE = 300.0  # seconds for which a connection is used
_SILENT = 5.0  # seconds for which a server is not asked that was silent
_BUSY = _WAIT  # the same where all connections were in use, so that few wait for one
_RETRY = 60.0  # seconds after which triggers that were not there are looked for again
_AGAIN = 1.0  # the same where they were there
_TIDY_EVERY = 60.0

_within = Within()  # of its own: who waits for a pooler that is paused takes no room from other calls
Mark = tuple[str, str]  # the snapshot; the triggers and the run of the server


class MetadataStamps:
    """What was written on the metadata database, by its triggers.

    Args:
        engine: Superset's engine, of which it takes how to connect, and no connection.
        tables: the names of the tables to watch.
    """

    def __init__(self, engine: Callable[[], Engine], tables: Callable[[], list[str]]) -> None:
        self._engine = engine
        self._tables = tables
        reset_on_fork(self)

    def reset(self) -> None:
        """Have no connection, and know of no triggers."""
        self._lock = threading.Lock()
        self._pool: Connections | None = None
        self._anchor: str | None = None
        self._look_at = self._tidy_at = self._silent_until = float("-inf")
        self._held = Held()
        self._are_planned = True  # whether connections have the statement; not behind a pooler that changes them
        self.missing = "it was not looked yet"

    def ready(self) -> bool:
        """Whether the triggers are all there, as far as this process knows; it looks behind the caller's back."""
        if self._anchor is None:
            self._look_soon()
        return self._anchor is not None

    def now(self) -> Mark | None:
        """The mark of this moment; `None` where the triggers are not all there, or the server does not answer."""
        if not self.ready():
            return None
        try:
            row = self._row(_NOW, ())
        except MetadataSilent:
            return None
        if row[1] is None or row[1] != self._anchor:
            self._anchor = None  # somebody took them away, or the server is another one by now
            return None
        return str(row[0]), str(row[1])

    def holds(self, mark: Mark, dashboards: Sequence[int] | None = None, early: Early | None = None) -> bool | None:
        """Whether nothing that matters was written since; `None` where that cannot be known.

        Args:
            mark: what was seen then.
            dashboards: the ids of those whose contents matter, less than 0 where colors do; `None` for any.
            early: what `begin` has begun.
        """
        asked = asked_of(mark, dashboards)
        try:
            return self._holds(asked, self._held) if early is None else early.holds(asked)
        except MetadataSilent:
            return None

    def begin(self) -> Early | None:
        """Ask early if all that held a moment ago holds; `None` where nothing did, or that cannot be sent at once."""
        held = self._held
        if not held.is_recent or time.monotonic() < self._silent_until:
            return None
        sql, values = still(held, self._are_planned)
        sent = self._connections().send_now(sql, values)
        return None if sent is None else Early(held, sent, partial(self._read, sql))

    def _read(self, sql: str, asked: Asked, held: Held, sent: Sent) -> bool:
        began = time.monotonic()
        try:
            moment = sent.row(_WAIT)[0]
        except Exception as error:
            if self._failed(sql, error, began) and not self._has_lost(sql):
                raise MetadataSilent from error
            return self._holds(asked, self._held)
        return self._holds_on(asked, held, moment) if asked in held else self._holds_by_itself(asked, self._held)

    def _holds(self, asked: Asked, held: Held) -> bool:
        if asked not in held:
            return self._holds_by_itself(asked, held)
        return self._holds_on(asked, held, self._goes_on(held))

    def _holds_on(self, asked: Asked, held: Held, moment: str | None) -> bool:
        """Whether it holds, by what names this moment if nothing was written since what held."""
        if moment is None:
            return self._holds_by_itself(asked, Held())
        self._held = held.at(moment)
        return True

    def _goes_on(self, held: Held) -> str | None:
        """What names this moment, if all that held at an earlier one holds."""
        sql, values = still(held, self._are_planned)
        try:
            return cast("str | None", self._row(sql, values)[0])
        except MetadataSilent:
            if not self._has_lost(sql):
                raise
        return self._moments(held.still)[0]

    def _has_lost(self, sql: str) -> bool:
        """Whether a statement had no answer because connections have not planned it."""
        return sql == STILL and not self._are_planned

    def _holds_by_itself(self, asked: Asked, held: Held) -> bool:
        """The same, asked of the mark, and at the same moment of those that held: it is one of them then."""
        others = [held.still] if held.is_usable(asked) else []
        moment, *goes_on = self._moments((*asked, None), *others)
        if moment is None:
            return False
        with self._lock:
            if self._held.moment != moment or not self._held.is_usable(asked):  # nobody has come before for this moment
                self._held = held.at(moment) if any(goes_on) else Held(moment, asked[1])
            self._held.add(asked)
        return True

    def _moments(self, *questions: Question) -> Sequence[str | None]:
        """For each what names this moment, if what it asks about holds; all by one statement, so of one moment."""
        return list(self._row(f"SELECT {', '.join([HELD] * len(questions))}", sum(questions, ())))

    def install(self) -> None:
        """Make schema and triggers as far as they are not there.

        Raises:
            Unanswerable: the metadata database is not PostgreSQL.
            SQLAlchemyError, psycopg2.Error: the database refused, or does not answer.
        """
        self._must_be_possible()
        with self._alone() as cursor:
            triggers.make(cursor, self._tables)
        self._connections().dispose()  # what was connected before could not plan
        self._are_planned = True

    def uninstall(self) -> bool:
        """Remove triggers and schema; whether there were any.

        Raises:
            SQLAlchemyError, psycopg2.Error: as for `install`.
        """
        self._anchor = None
        if not is_possible(self._engine()):
            return False
        with self._alone() as cursor:
            present = triggers.remove(cursor)
        self._connections().dispose()
        return present

    def look(self) -> bool:
        """Look whether every table that Superset reads tells of its changes; `missing` says why where it does not."""
        self._anchor, self.missing, self._are_planned = None, "", True
        try:
            self._must_be_possible()
            self._anchor = looked(self._engine(), self._tables)
        except Exception as error:  # noqa: BLE001  (whatever it is, Superset answers without grants)
            self.missing = why(error)
        return self._anchor is not None

    def _look_soon(self) -> None:
        """Have a thread look; once in a while."""
        with self._lock:
            if time.monotonic() < self._look_at:
                return
            self._look_at = time.monotonic() + _RETRY
        threading.Thread(target=self._look_now, name="superset_ext-grants", daemon=True).start()

    def _look_now(self) -> None:
        if self.look():
            self._look_at = time.monotonic() + _AGAIN
        else:
            if not is_possible(self._engine()):
                self._look_at = float("inf")  # nor will it be later
            warn("grants", "answers are not given again: %s", self.missing)

    def tidy(self) -> None:
        """Delete what no grant needs any more; once a minute, however often it is called."""
        if self._anchor is not None and time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + _TIDY_EVERY
            with suppress(MetadataSilent):
                self._row(_TIDY, ())

    @contextmanager
    def _alone(self) -> Iterator[Any]:
        """The cursor of a connection of its own, which commits each statement, and may take its time."""
        with closing(self._engine().pool._creator()) as raw:
            raw.autocommit = True
            yield raw.cursor()

    def _must_be_possible(self) -> None:
        if not is_possible(self._engine()):
            other = "SUPERSET_EXT_GRANTS=stamps needs no triggers"
            raise Unanswerable(f"the metadata database is not PostgreSQL by psycopg2; {other}")

    def _row(self, sql: str, values: Any) -> Any:
        """The one row of a statement in one round trip.

        Raises:
            MetadataSilent: the server does not answer, or not soon, or refuses.
        """
        began = time.monotonic()
        if began < self._silent_until:
            raise MetadataSilent
        for _ in range(2):  # a connection may have been closed while nobody used it
            try:
                return self._connections().send(sql, values).row(_WAIT)
            except Exception as error:  # noqa: BLE001  (as above)
                if self._failed(sql, error, began):
                    break
                self._connections().dispose()  # who has closed this one has closed all of them
        else:
            self._silent_until = time.monotonic() + _BUSY
        raise MetadataSilent

    def _failed(self, sql: str, error: Exception, began: float) -> bool:
        """Note why there is no answer; whether it is of no use to ask again."""
        if getattr(driver_error(error), "pgcode", None):
            self._refused(sql, error)
            return True
        if isinstance(error, NoneFree):
            self._silent_until = time.monotonic() + _BUSY
            return True
        if time.monotonic() - began >= _WAIT:
            self._silent_until = time.monotonic() + _SILENT
            return True
        return False

    def _refused(self, sql: str, error: Exception) -> None:
        """The server refuses a statement: it is not what was looked at, or has no plan of it."""
        if sql == STILL and is_unplanned(error):
            self._cannot_plan()
        else:
            self._anchor = None
            warn("grants refused", "answers are not given again: %s", first_line(error))

    def _cannot_plan(self) -> None:
        self._are_planned = False

    def _connections(self) -> Connections:
        with self._lock:
            if self._pool is None:
                creator = self._engine().pool._creator
                connect = partial(_within, _CONNECT, planned, creator, _CONNECT, self._cannot_plan)
                self._pool = Connections(connect, _POOL, _WAIT, _RECYCLE)
            return self._pool

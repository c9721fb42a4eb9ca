"""Random steps on a source with aggregates: writers whose transactions overlap, DDL, refreshes that others cut into and
that are killed, and reads. An aggregate that calls itself exact has to be what its query gives, in every snapshot."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import psycopg2

from superset_ext.aggregates.tables import checking, notes, refreshing, renewing
from superset_ext.aggregates.tables.checking import check, text
from superset_ext.aggregates.tables.definition import Definition
from superset_ext.aggregates.tables.refreshing import refresh
from superset_ext.aggregates.tables.transaction import transaction
from superset_ext.errors import AggregateError
from testing.aggregate_machine_sql import AGGREGATES, ATTACH, START, SWAP, WRITES
from testing.aggregate_tables import AS_NEW, built, one, run
from testing.interleaved import Interleaved

WRITERS = 3
_SOON = 0.002  # seconds that a step waits for a lock; who holds it can only end it in another step
_MOST_BYTES = 3 * 8192  # of notes, so that they are often too many


@dataclass
class Machine:
    """The state of a run.

    Attributes:
        weights: of steps that are more or less likely than usual, by their names.
        counts: how often each step was done, was not possible, and what reads came to.
        trail: the last steps, for whoever has to understand a fault.
    """

    url: str
    seed: int
    weights: Mapping[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    trail: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.some = random.Random(self.seed)
        self.aside = self._connected()
        run(self.aside, AS_NEW)
        run(self.aside, START)
        self.bounds = ExitStack()
        self.bounds.enter_context(patch.object(notes, "MOST_BYTES", _MOST_BYTES))
        self.definitions = {name: built(self.aside, sql, name) for name, sql in AGGREGATES.items()}
        self.writers = [self._connected(autocommit=False) for _ in range(WRITERS)]
        self.old, self.remembered = self._connected(), dict[str, list[Any]]()
        self.upkeep = self._connected()
        self.depth = 0
        self.prepared = 0

    def _connected(self, autocommit: bool = True) -> Any:
        connection = psycopg2.connect(self.url, options=f"-c lock_timeout={int(_SOON * 1000)}")
        connection.autocommit = autocommit
        return connection

    def close(self) -> None:
        """Close all connections; nothing that was prepared is left."""
        self.bounds.close()
        for writer in self.writers:
            writer.rollback()
        self._end_prepared("ROLLBACK")
        for connection in (self.aside, self.old, self.upkeep, *self.writers):
            connection.close()

    def go(self, steps: int) -> Counter[str]:
        """Take so many steps, and then bring all up to date.

        Raises:
            AssertionError: an aggregate called itself exact and was not.
        """
        with ExitStack() as stack:
            soon = partial(transaction, lock_seconds=_SOON)
            stack.enter_context(patch.object(refreshing, "transaction", soon))
            stack.enter_context(patch.object(checking, "transaction", soon))
            stack.enter_context(patch.object(renewing, "SWAP_SECONDS", _SOON))
            stack.enter_context(patch.object(renewing, "SHARE", 0.9))  # so that groups are made anew one by one
            for _ in range(steps):
                self.step()
        self._end()
        return self.counts

    def step(self) -> None:
        """Take one step, whichever."""
        weights = [self.weights.get(step.__name__, usual) for step, usual in _STEPS.items()]
        (chosen,) = self.some.choices(list(_STEPS), weights)
        self._note(chosen.__name__)
        try:
            chosen(self)
        except (psycopg2.Error, AggregateError) as error:
            self._note(f"{chosen.__name__}: not possible")
            self.trail.append(str(error).partition("\n")[0])
        self.counts[chosen.__name__] += 1

    def _note(self, line: str) -> None:
        self.counts["steps" if line in {step.__name__ for step in _STEPS} else line] += 1
        self.trail = [*self.trail[-60:], f"{'  ' * self.depth}{line}"]

    # Writers.

    def write(self) -> None:
        """A statement within a transaction that may have had others."""
        writer = self.some.choice(self.writers)
        sql = self.some.choice(WRITES).format(
            t=self.some.choice(("parts", "plain", "plain", "part_0")), k=self.some.choice(range(10)),
            day=self.some.choice(range(1, 29)), shop=self.some.choice(("'s0'", "'s1'", "'x'", "NULL")),
            some=self.some.choice(("k = 1", "k < 3", "shop IS NULL", "amount = (SELECT max(amount) FROM plain)",
                                   "ts IS NULL", "shop = 's1' AND k > 5", "false")),
        )  # fmt: skip
        self._run(writer, sql)

    def _run(self, writer: Any, sql: str) -> None:
        self.trail.append(sql)
        try:
            run(writer, sql)
        except psycopg2.Error:
            writer.rollback()
            raise

    def savepoint(self) -> None:
        """A part of a transaction that is taken back."""
        writer = self.some.choice(self.writers)
        self._run(writer, "SAVEPOINT s; DELETE FROM plain WHERE k < 5; ROLLBACK TO SAVEPOINT s")

    def commit(self) -> None:
        """A transaction ends, with luck a long one."""
        self.some.choice(self.writers).commit()

    def rollback(self) -> None:
        """A transaction is taken back."""
        self.some.choice(self.writers).rollback()

    def prepare(self) -> None:
        """A transaction that somebody else ends, whenever that may be."""
        self.prepared += 1
        writer = self.some.choice(self.writers)
        self._run(writer, f"PREPARE TRANSACTION 'p{self.prepared}'")
        writer.rollback()  # so that the driver knows that there is none any more

    def end_prepared(self) -> None:
        """Some of these end."""
        self._end_prepared(self.some.choice(("COMMIT", "COMMIT", "ROLLBACK")))

    def _end_prepared(self, how: str) -> None:
        names = run(self.aside, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1")
        for (name,) in names:
            run(self.aside, f"{how} PREPARED '{name}'")

    def repeatable(self) -> None:
        """A writer whose snapshot stays."""
        writer = self.some.choice(self.writers)
        writer.rollback()
        self._run(writer, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM plain")

    def truncate(self) -> None:
        """All rows go at once."""
        self._run(self.some.choice(self.writers), f"TRUNCATE {self.some.choice(('parts', 'plain', 'part_1'))}")

    def attach(self) -> None:
        """A part comes or goes, within a transaction."""
        writer = self.some.choice(self.writers)
        ((is_part,),) = run(self.aside, "SELECT relispartition FROM pg_class WHERE relname = 'part_2'")
        run(self.aside, "INSERT INTO part_2 SELECT 20 + i, NULL, 'p', i FROM generate_series(1, 3) i")
        self._run(writer, f"ALTER TABLE parts {'DETACH PARTITION part_2' if is_part else ATTACH}")

    def swap(self) -> None:
        """The table is made anew beside and takes the name, as dbt does."""
        writer = self.some.choice(self.writers)
        writer.rollback()
        self._run(writer, SWAP)

    def written_anew(self) -> None:
        """All rows are written into another file."""
        writer = self.some.choice(self.writers)
        writer.rollback()
        self._run(writer, "ALTER TABLE plain ALTER price TYPE numeric USING price + 1")

    def retyped(self) -> None:
        """A column gets another type, which all others would hinder: what was noted of it is of no use any more."""
        for connection in (self.old, *self.writers):
            connection.rollback()
        self.remembered = {}
        type_ = self.some.choice(("int", "numeric(12, 2)"))
        self._run(self.some.choice(self.writers), f"ALTER TABLE plain ALTER amount TYPE {type_}")

    # Upkeep.

    def refresh(self) -> None:
        """A refresh, between whose statements others do theirs."""
        self._upkeep(lambda connection, name: refresh(connection, name, whole=self.some.random() < 0.1))

    def check(self) -> None:
        """All of it is compared; a difference would be a fault."""
        if self.depth:
            return
        checked = check(self.upkeep, self.some.choice(list(self.definitions)))
        self.fault_if(bool(checked.differences), f"{checked}")

    def _upkeep(self, work: Callable[[Any, str], Any]) -> None:
        if self.depth:
            return
        self.depth += 1
        try:
            done = work(Interleaved(self.upkeep, self._between), self.some.choice(list(self.definitions)))
            self._note(f"refreshed: {done.how}")
            self.read()
        finally:
            self.depth -= 1
            if self.upkeep.closed:
                self.upkeep = self._connected()

    def _between(self) -> None:
        chance = self.some.random()
        if chance < 0.3:
            self.step()
        elif chance < 0.31 and not self.upkeep.closed:
            self._note("refresh killed")
            run(self.aside, "SELECT pg_terminate_backend(%s, 5000)", (self.upkeep.info.backend_pid,))

    # Readers.

    def read(self) -> None:
        """What calls itself exact is compared with what its query gives, by one statement."""
        name, definition = self.some.choice(list(self.definitions.items()))
        sql = text(definition, _columns(definition))
        ask = f"(SELECT is_exact FROM superset_ext_aggregates.state() WHERE name = '{name}')"
        muted = f"(SELECT prosrc = superset_ext_aggregates.muted() FROM pg_proc WHERE proname = 'noted_{name}')"
        ((is_exact, differences, is_muted),) = run(self.aside, f"SELECT {ask}, ({sql}), {muted}")
        self.counts["read: nothing is noted"] += bool(is_muted)
        self._note("read: exact" if is_exact else "read: not exact")
        self.fault_if(is_exact and differences, f"{name} called itself exact, and {differences} rows differed")

    def open_old(self) -> None:
        """A reader whose snapshot stays remembers what the queries give in it."""
        self.old.rollback()
        self.old.autocommit, self.remembered = False, {}
        run(self.old, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for name, definition in self.definitions.items():
            self.remembered[name] = run(self.old, f"SELECT a::text FROM ({definition.select()}) a ORDER BY 1")

    def read_old(self) -> None:
        """It reads an aggregate later, if that is still exact for it."""
        if not self.remembered:
            return
        name = self.some.choice(list(self.remembered))
        definition = self.definitions[name]
        try:
            ((version,),) = run(
                self.old, "SELECT version FROM superset_ext_aggregates.state() WHERE name = %s", (name,)
            )
            sure = f"superset_ext_aggregates.sure('{name}', {version})"
            rows = run(self.old, f"SELECT a::text FROM {definition.table} a WHERE {sure} ORDER BY 1")
        except psycopg2.Error:
            self.old.rollback()
            self.remembered = {}
            raise
        self._note("read in an old snapshot: exact")
        self.fault_if(rows != self.remembered[name], f"{name} is another one in an old snapshot")

    def fault_if(self, is_fault: bool, what: str) -> None:
        """Stop at a fault, with what led to it."""
        assert not is_fault, "\n".join([f"seed {self.seed}: {what}", *self.trail])

    def _end(self) -> None:
        """Nobody writes any more; all is brought up to date, and is exact. Only vacuuming may hold a lock now."""
        run(self.aside, "SET lock_timeout = '60s'")
        self.old.rollback()
        for writer in self.writers:
            writer.commit()
        self._end_prepared("COMMIT")
        for name, definition in self.definitions.items():
            refresh(self.upkeep, name)
            self.fault_if(not one(self.aside, name).is_exact, f"{name} is not exact at the end")
            ((number,),) = run(self.aside, text(definition, _columns(definition)))
            self.fault_if(bool(number), f"{name} differs at the end")


def _columns(definition: Definition) -> list[str]:
    return list(definition.view.names.values())


_STEPS: dict[Callable[[Machine], None], int] = {
    Machine.write: 40, Machine.savepoint: 2, Machine.commit: 20, Machine.rollback: 4, Machine.repeatable: 2,
    Machine.truncate: 1, Machine.attach: 1, Machine.swap: 1, Machine.written_anew: 1, Machine.refresh: 20,
    Machine.prepare: 1, Machine.end_prepared: 3, Machine.retyped: 1,
    Machine.check: 2, Machine.read: 20, Machine.open_old: 2, Machine.read_old: 4,
}  # fmt: skip

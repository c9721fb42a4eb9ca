"""Ways of writing to Superset's metadata database past Superset's pages."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import psycopg2

from testing.grants import World

Statements = Sequence[tuple[str, tuple[Any, ...]]]
Way = Callable[[World, Statements], None]


def by_sql(world: World, statements: Statements, before: str = "") -> None:
    """In one transaction of another program."""
    with closing(psycopg2.connect(world.url)) as connection, connection, connection.cursor() as cursor:
        if before:
            cursor.execute(before)
        for statement, values in statements:
            cursor.execute(statement, values)


def by_replica(world: World, statements: Statements) -> None:
    """As a replication does that applies rows: ordinary triggers do not fire."""
    by_sql(world, statements, "SET LOCAL session_replication_role = replica")


def by_savepoint(world: World, statements: Statements) -> None:
    """After something that was rolled back in the same transaction."""
    by_sql(world, statements, "SAVEPOINT s; UPDATE dbs SET cache_timeout = 1; ROLLBACK TO s; SAVEPOINT t")


def by_statements(world: World, statements: Statements) -> None:
    """Each statement for itself, committed at once."""
    for statement in statements:
        by_sql(world, [statement])


def by_engine(world: World, statements: Statements) -> None:
    """By Superset's own engine, past its models."""
    from superset.extensions import db

    with world.app.app_context(), db.engine.begin() as connection:
        for statement, values in statements:
            # A tuple whose first value is a list would be taken for many rows.
            connection.exec_driver_sql(statement, [values] if values else ())


def by_session(world: World, statements: Statements) -> None:
    """By Superset's session, in a raw cursor that fires no event."""
    from superset.extensions import db

    with world.app.app_context():
        with db.session.connection().connection.cursor() as cursor:
            for statement, values in statements:
                cursor.execute(statement, values)
        db.session.commit()


def by_late_commit(world: World, statements: Statements) -> None:
    """By a transaction that began earlier and has waited while others wrote, and while a grant was stored."""
    with closing(psycopg2.connect(world.url)) as connection, connection, connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)
        by_sql(world, [("UPDATE dbs SET cache_timeout = cache_timeout WHERE id < 0", ())])
        world.ask(world.client("p8"), world.body())


def by_prepared(world: World, statements: Statements) -> None:
    """By a transaction that is prepared by one connection and committed by another, where the server does that."""
    name = f"grants-{os.getpid()}-{time.monotonic_ns()}"
    if world.sql("SHOW max_prepared_transactions") == [("0",)]:
        by_sql(world, statements)
        return
    with closing(psycopg2.connect(world.url)) as connection:
        connection.tpc_begin(name)
        for statement, values in statements:
            connection.cursor().execute(statement, values)
        connection.tpc_prepare()
    world.ask(world.client("p8"), world.body())
    with closing(psycopg2.connect(world.url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"COMMIT PREPARED '{name}'")


def by_killed(world: World, statements: Statements) -> None:
    """By a process that is killed at one step of its commit: before it wrote, before, in the midst of, and after."""
    write_and_die(world, statements, random.choice(STEPS))


STEPS = ("begun", "written", "committing", "committed")


def write_and_die(world: World, statements: Statements, step: str) -> None:
    """Be killed at a step; returns when the server has noticed."""
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        _write(world.url, statements, step, sender)
    os.close(sender)
    with os.fdopen(receiver) as pipe:
        backend = pipe.readline()
        if step == "committing":  # it waits for the commit's answer, or has it
            time.sleep(random.random() / 500)
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    while world.sql("SELECT FROM pg_stat_activity WHERE pid = %s", int(backend)):
        time.sleep(0.001)


def _write(url: str, statements: Statements, step: str, sender: int) -> None:
    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    cursor.execute("SELECT pg_backend_pid()")
    backend = f"{cursor.fetchone()[0]}\n".encode()
    if step != "begun":
        for statement, values in statements:
            cursor.execute(statement, values)
    if step == "committing":
        os.write(sender, backend)
    if step.startswith("commit"):
        connection.commit()
    if step != "committing":
        os.write(sender, backend)
    os.kill(os.getpid(), signal.SIGKILL)


WAYS: tuple[Way, ...] = (
    by_sql, by_replica, by_savepoint, by_statements, by_engine, by_session, by_late_commit, by_prepared, by_killed,
)  # fmt: skip

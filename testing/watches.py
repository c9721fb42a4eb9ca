"""Watches on a real source, written to and listened to by hand."""

from __future__ import annotations

import json
import re
import select
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from superset_ext.freshness.watch import epochs, triggers
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import CHANNEL, Name, Watched
from testing.warming import PATIENCE

SALES = Name("public", "sales")
TITLE = "The ware house"  # of the source, where it is a database of Superset's


CATALOG = """
SELECT 'class', n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL SELECT 'proc', n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname FROM pg_trigger
UNION ALL SELECT 'event trigger', evtname FROM pg_event_trigger
UNION ALL SELECT 'namespace', nspname FROM pg_namespace
UNION ALL SELECT 'type', n.nspname || '.' || t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
UNION ALL SELECT 'acl', c.relname || c.relacl::text FROM pg_class c WHERE relacl IS NOT NULL
ORDER BY 1, 2
"""


@contextmanager
def connected(url: str, **options: Any) -> Iterator[Any]:
    with closing(psycopg2.connect(url, **options)) as connection:
        connection.autocommit = True
        yield connection


def run(connection: Any, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def add(connection: Any, *tables: str, two_phase_unused: bool = False) -> list[Name]:
    with transaction(connection) as cursor:
        return triggers.add(cursor, tables, two_phase_unused)


def remove(connection: Any, *names: Name) -> None:
    with transaction(connection) as cursor:
        triggers.remove(cursor, names)


def state(connection: Any) -> dict[Name, Watched]:
    with transaction(connection) as cursor:
        return {watched.name: watched for watched in triggers.state(cursor)}


def arm(connection: Any, *names: Name) -> None:
    with transaction(connection) as cursor:
        epochs.arm(cursor, [watched.id for watched in triggers.state(cursor) if not names or watched.name in names])


def notified(connection: Any, count: int) -> list[str]:
    """The payloads of the next notifications; fewer than `count` are an error."""
    payloads: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while len(payloads) < count:
        assert time.monotonic() < deadline, f"{payloads} is all that was notified"
        select.select([connection], [], [], 0.1)
        connection.poll()
        payloads += [notice.payload for notice in connection.notifies]
        connection.notifies.clear()
    return payloads


def all_notified(connection: Any) -> list[str]:
    """The payloads of all notifications of commits that came before; a mark is notified as the last one."""
    mark = uuid.uuid4().hex
    run(connection, "SELECT pg_notify(%s, %s)", CHANNEL, mark)
    payloads: list[str] = []
    while mark not in payloads:
        payloads += notified(connection, 1)
    return [payload for payload in payloads if payload != mark]


def said(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that was printed, after what Superset says on its own."""
    match = re.search(r"^[{\[]$|^[{\[].*[}\]]$", done.stdout, re.MULTILINE)
    assert match, done.stderr
    return json.loads(done.stdout[match.start() :])

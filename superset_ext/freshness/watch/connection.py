"""A connection that hears notifications: how it is set up, and the proof that it does."""

from __future__ import annotations

import json
import os
import selectors
import socket
import time
import uuid
from contextlib import suppress
from typing import Any

from superset_ext.errors import WatchError
from superset_ext.freshness.watch.schema import refuse_replica
from superset_ext.freshness.watch.watched import CHANNEL, LISTENER

HEARD_SECONDS = 5.0  # in which a connection must hear what another one notifies
# A server that is gone without a word is noticed in about five seconds; the server notices a listener in a few more.
_SETTINGS = """
SET statement_timeout = '5s'; SET lock_timeout = '5s'; SET synchronous_commit = off;
SET default_transaction_read_only = off; SET client_min_messages = warning;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SELECT set_config('application_name', %s, false);
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'
"""
_KEEPALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5000}


def prepare(connection: Any) -> None:
    """Make a new psycopg2 connection listen.

    Raises:
        WatchError: it leads to a replica, where nothing is notified.
        psycopg2.Error: the source refused.
    """
    connection.autocommit = True
    _keep_alive(connection)
    with connection.cursor() as cursor:
        refuse_replica(cursor)
        cursor.execute(_SETTINGS, (LISTENER,))
        cursor.execute(f"LISTEN {CHANNEL}")


def _keep_alive(connection: Any) -> None:
    """Notice a peer that is gone. An option that the system or a Unix socket does not have is left out."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own, suppress(OSError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def check_that_it_hears(connection: Any, other: Any) -> None:
    """Check that the connection hears what `other` notifies. Whatever else it hears meanwhile is kept.

    Raises:
        WatchError: it does not: a pooler that lends connections by transaction is in between.
        psycopg2.Error: one of them is lost.
    """
    token = uuid.uuid4().hex
    other.autocommit = True
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, json.dumps(token)))
    deadline = time.monotonic() + HEARD_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        while True:
            late = time.monotonic() > deadline  # before the look: what is there in time counts
            connection.poll()
            if any(token in notification.payload for notification in connection.notifies):
                return
            if late:
                raise WatchError(
                    "LISTEN does not get through; if a pooler is in between that lends connections by transaction, "
                    "let Superset's database name the server itself, or a pool by session"
                )
            selector.select(0.1)

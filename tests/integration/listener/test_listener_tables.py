"""What a running listener takes up, puts back and leaves."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from superset_ext.embedded.postgres import Postgres
from superset_ext.errors import WatchError
from superset_ext.freshness.watch import triggers
from superset_ext.freshness.watch.schema import take_turn
from superset_ext.freshness.watch.transaction import transaction
from superset_ext.freshness.watch.watched import Name
from testing.listening import DATABASE, OTHER, SALES, Caches, Sources, add, backend, opened, run, until, write


class TestWhatIsWatched:
    def test_a_new_watch_needs_no_restart(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: a table that is added is told of at once, and heard from then on."""
        run(source, "CREATE TABLE newer (n int)")
        newer = Name("public", "newer")
        began = time.monotonic()
        sources.wanted[DATABASE] |= set(add(source, "newer"))
        caches.after(began, newer)
        caches.cold()
        began = time.monotonic()
        write(source, "INSERT INTO newer VALUES (1)")
        caches.after(began, newer)

    def test_a_new_database_needs_no_restart(self, sources: Sources, caches: Caches, postgres: Postgres) -> None:
        """Intent: a running listener takes up a source that is added, and leaves one that is taken out."""
        sources.urls[8] = postgres.create_database("second_source")
        with closing(opened(sources.urls[8])) as source:
            run(source, "CREATE TABLE IF NOT EXISTS sales (n int)")
            began = time.monotonic()
            sources.wanted[8] = set(add(source, "sales"))
            caches.after(began, database=8)
            del sources.wanted[8]
            until(lambda: not backend(source))

    def test_what_is_wanted_and_lost_is_put_back(self, source: Any, caches: Caches) -> None:
        """Intent: a source that was restored from a dump without our schema, or cleaned by hand, is watched again."""
        began = time.monotonic()
        run(source, "DROP SCHEMA superset_ext_watch CASCADE")
        until(lambda: _wanted_intact(source))
        caches.after(began)
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_what_is_removed_is_not_put_back(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: a hot table is removed, and then the last one: nothing comes back, and the connection is closed."""
        write(source)
        for name in (SALES, OTHER):
            with transaction(source) as cursor:
                take_turn(cursor)
                triggers.remove(cursor, [name])
                sources.wanted[DATABASE].discard(name)
        until(lambda: not backend(source))
        assert not run(source, "SELECT 1 FROM pg_namespace WHERE nspname = 'superset_ext_watch'")
        began = caches.cold()
        write(source)
        sources.wanted[DATABASE] = set(add(source, "other"))
        caches.after(began, OTHER)
        assert not [stamped for stamped in caches.stamps if stamped[0] > began and stamped[1] == "7:public.sales"]

    def test_removed_and_added_at_once(self, source: Any, caches: Caches) -> None:
        """Intent: the number of the new watch is that of the old one, and nothing is taken for known."""
        with transaction(source) as cursor:
            triggers.remove(cursor, [SALES, OTHER])
            triggers.add(cursor, ["sales", "other"])
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_the_log_database_is_away(self, source: Any, sources: Sources, caches: Caches) -> None:
        """Intent: what was known to be watched stays so, also over a lost connection."""
        sources.log_lost = True
        began = time.monotonic()
        run(source, "SELECT pg_terminate_backend(%s)", backend(source)[0])
        caches.after(began)
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)

    def test_a_dropped_sequence_is_mended_and_heard(self, source: Any, caches: Caches) -> None:
        """Intent: an epoch that somebody drops is made again, and commits are heard after it."""
        began = time.monotonic()
        run(source, "DROP SEQUENCE superset_ext_watch.epoch_1 CASCADE")
        caches.after(began)
        until(lambda: _wanted_intact(source))
        caches.cold()
        began = time.monotonic()
        write(source)
        caches.after(began)


def _wanted_intact(connection: Any) -> bool:
    try:
        with transaction(connection) as cursor:
            names = {watched.name for watched in triggers.state(cursor) if watched.intact}
    except WatchError:
        return False
    return {SALES, OTHER} <= names

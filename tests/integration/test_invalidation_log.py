"""What `cache_invalidation_log` is told."""

from __future__ import annotations

from contextlib import closing

from superset_ext.core.log_database import LogDatabase
from superset_ext.freshness.change import Change, SourceTable, StampedChange
from superset_ext.freshness.log import InvalidationLog
from superset_ext.sqltables.table import Table

REQUEST = """
INSERT INTO superset_ext.cache_request (fingerprint, kind, path, args, is_form, replayable, queries, uses, used_at,
    hours, first_seen, last_seen, tags)
VALUES ('a', 'data', '', '', false, true, 1, 1, now(), '{}', now(), now(), '{table:1:public.read}');
INSERT INTO superset_ext.cache_access_scope (fingerprint, access_scope, cache_keys, identity, uses, used_at)
VALUES ('a', 's', '{k1,k2}', 'user:1', 1, now())
"""


def test_a_name_that_no_text_can_hold_costs_nobody_a_row(database: LogDatabase) -> None:
    """Intent: names come from anybody (the webhook, a channel); one of them loses no other change of its batch."""
    log = InvalidationLog(database, lambda: None)
    for name in ("before", "nul\0", "half \ud800", "after"):
        change = Change("webhook", "data_update", tables=(SourceTable(1, Table("public", name)),))
        log.note(StampedChange(change, ("any", f"table:1:public.{name}"), 1_700_000_000.0, None))
    log.flush()
    rows = database.rows("SELECT tables[1] AS name FROM superset_ext.cache_invalidation_log ORDER BY tables[1]")
    assert {row["name"] for row in rows} >= {"1:public.before", "1:public.after"}
    assert len(rows) == 4


def test_what_was_dropped_is_unknown_where_nothing_is_registered(views_url: str) -> None:
    """Intent: 0 is said where the registry knows that nobody asked; without anything in it, nothing is known, which the
    view does not make 0 of."""
    database = LogDatabase(views_url)
    log = InvalidationLog(database, lambda: None)

    def told(name: str) -> None:
        change = Change("webhook", "data_update", tables=(SourceTable(1, Table("public", name)),))
        log.note(StampedChange(change, ("any", f"table:1:public.{name}"), 1_700_000_000.0, None))
        log.flush()

    with closing(database):
        told("unknown")
        with database.transaction() as cursor:
            cursor.execute(REQUEST)
        told("none")
        told("read")
        for table in ("cache_invalidation_log", "perf_invalidation_live"):
            rows = database.rows(f"SELECT entries_affected FROM superset_ext.{table} ORDER BY id")
            assert [row["entries_affected"] for row in rows] == [None, 0, 2]

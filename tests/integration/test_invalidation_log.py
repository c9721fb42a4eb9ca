"""What `cache_invalidation_log` is told."""

from __future__ import annotations

from superset_ext.core.log_database import LogDatabase
from superset_ext.freshness.change import Change, SourceTable, StampedChange
from superset_ext.freshness.log import InvalidationLog
from superset_ext.sqltables.table import Table


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

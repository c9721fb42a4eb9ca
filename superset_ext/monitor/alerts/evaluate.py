"""Alerts: each rule is measured, and what it says begins, keeps or ends alerts.

A rule is evaluated in a transaction of its own, by the process that has its row: any number may evaluate at once. One
that cannot be measured keeps its alerts, and the others are looked at all the same. Whoever evaluates sends nothing:
`notify.deliver` does, whenever it comes to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.warn_once import warn
from superset_ext.errors import LogUnavailable
from superset_ext.monitor.alerts import events as alert_events
from superset_ext.monitor.alerts import rules as alert_rules
from superset_ext.monitor.alerts import text as alert_text
from superset_ext.monitor.alerts.events import Event, Open
from superset_ext.monitor.alerts.metrics import Context, measure
from superset_ext.monitor.alerts.rules import AlertError, StoredRule
from superset_ext.monitor.alerts.state import Reading, begins, is_worse, lasts
from superset_ext.settings import Settings

SLOW_QUERY_MS = 1000.0
SECONDS = 30.0  # that measuring one rule may take
_ALERTS = """
SELECT a.id, a.rule_id, r.name, r.metric_type, r.severity, a.subject, a.fired_at, a.resolved_at, a.value, a.worst,
    r.threshold_value, a.confidence, a.message, a.notified_at, a.resolved_notified_at, a.error
FROM superset_ext.performance_alert a JOIN superset_ext.performance_alert_rule r ON r.id = a.rule_id
WHERE a.resolved_at IS NULL OR a.fired_at > now() - make_interval(days => %s)
ORDER BY a.resolved_at IS NOT NULL, a.fired_at DESC LIMIT %s
"""
_OLD = """
DELETE FROM superset_ext.performance_alert WHERE resolved_at < %(now)s::timestamptz - make_interval(days => %(days)s);
DELETE FROM superset_ext.performance_alert_notice WHERE done_at < now() - make_interval(days => %(days)s)
"""


def evaluate(
    database: LogDatabase, settings: Settings, now: datetime | None = None, slow_query_ms: float = SLOW_QUERY_MS
) -> list[Event]:
    """Measure every rule that is switched on, and begin and end alerts; what began or ended.

    Args:
        now: until when the log is read; by the log database's clock where not given.
        slow_query_ms: milliseconds from which on a query is slow.

    Raises:
        LogUnavailable: the log database does not answer.
    """
    moment = now or database.rows("SELECT clock_timestamp() AS now")[0]["now"]
    context = Context(moment, slow_query_ms, [schedule.name for schedule in settings.warm_schedules])
    with database.transaction() as cursor:
        events = alert_events.close(cursor, None, "its rule was switched off", moment)
        cursor.execute(_OLD, {"now": moment, "days": settings.retention_days})
    for rule_id in alert_rules.enabled(database):
        events += _evaluated(database, rule_id, context)
    return events


def recent(database: LogDatabase, days: int = 30, limit: int = 200) -> list[dict[str, Any]]:
    """The alerts that last, and those of the last `days`, latest first.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    return database.rows(_ALERTS, (days, limit))


def _evaluated(database: LogDatabase, rule_id: int, context: Context) -> list[Event]:
    try:
        with database.transaction(SECONDS) as cursor:
            rule = alert_rules.claim(cursor, rule_id)
            return [] if rule is None else list(_judged(cursor, rule, context))
    except AlertError as error:
        warn(f"alert {rule_id}", "%s", error)
    except LogUnavailable as error:
        if error.sqlstate is None:
            raise
        warn(f"alert {rule_id}", "rule %d could not be measured, and its alerts stay as they are: %s", rule_id, error)
    return []


def _judged(cursor: Any, rule: StoredRule, context: Context) -> Iterator[Event]:
    readings = {reading.subject: reading for reading in measure(cursor, rule, context)}
    there = alert_events.lasting(cursor, rule.id)
    quiet = alert_events.cooling(cursor, rule.id, context.now, rule.cooldown_minutes)
    for subject, alert in there.items():
        yield from _still(cursor, rule, context.now, subject, alert, readings.get(subject))
    for subject, reading in readings.items():
        if subject not in there and subject not in quiet and begins(rule, reading):
            yield from _began(cursor, rule, context.now, reading)


def _began(cursor: Any, rule: StoredRule, now: datetime, reading: Reading) -> Iterator[Event]:
    message = alert_text.began(rule, reading)
    values = {
        "rule": rule.id, "subject": reading.subject, "now": now, "value": reading.value,
        "confidence": reading.confidence, "message": message,
    }  # fmt: skip
    alert_id = alert_events.fire(cursor, values)
    if alert_id is not None:
        yield alert_events.notice(cursor, _event("fired", alert_id, rule, now, reading, reading.value, message))


def _still(
    cursor: Any, rule: StoredRule, now: datetime, subject: str, alert: Open, reading: Reading | None
) -> Iterator[Event]:
    if reading is not None and lasts(rule, reading):
        if is_worse(rule, reading, alert.worst if alert.confidence is None else alert.confidence):
            alert_events.worsen(cursor, alert.id, reading.value, reading.confidence)
        return
    lasted = now - alert.since
    if reading is None:
        message = alert_text.unknown(rule, subject, lasted)
        reading = Reading(subject, alert.worst, 0, subject, alert.confidence)
    else:
        message = alert_text.ended(rule, reading, alert.worst, lasted)
    if alert_events.resolve(cursor, alert.id, now):
        yield alert_events.notice(cursor, _event("resolved", alert.id, rule, now, reading, alert.worst, message))


def _event(
    what: Literal["fired", "resolved"],
    alert_id: int,
    rule: StoredRule,
    now: datetime,
    reading: Reading,
    worst: float,
    message: str,
) -> Event:
    return Event(what, alert_id, rule.id, rule.name, rule.metric_type, rule.severity, reading.subject, reading.value,
                 worst, reading.confidence, message, now)  # fmt: skip

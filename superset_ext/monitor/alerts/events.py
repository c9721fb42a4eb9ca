"""Alerts as rows, from their begin to their end, and the notices that go with both; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

_OPEN = """
SELECT subject, id, worst, fired_at, confidence FROM superset_ext.performance_alert
WHERE rule_id = %s AND resolved_at IS NULL
"""
_ENDED = """
SELECT subject FROM superset_ext.performance_alert
WHERE rule_id = %s AND resolved_at > %s::timestamptz - make_interval(mins => %s)
"""
_FIRE = """
INSERT INTO superset_ext.performance_alert (rule_id, subject, fired_at, value, worst, confidence, message)
VALUES (%(rule)s, %(subject)s, %(now)s, %(value)s, %(value)s, %(confidence)s, %(message)s)
ON CONFLICT (rule_id, subject) WHERE resolved_at IS NULL DO NOTHING RETURNING id
"""
_WORSE = "UPDATE superset_ext.performance_alert SET worst = %s, confidence = %s WHERE id = %s"
_RESOLVE = "UPDATE superset_ext.performance_alert SET resolved_at = %s WHERE id = %s AND resolved_at IS NULL"
_NOTICE = """
INSERT INTO superset_ext.performance_alert_notice (alert_id, event, severity, title, body)
VALUES (%(alert)s, %(event)s, %(severity)s, %(title)s, %(body)s)
"""
_CLOSE = """
UPDATE superset_ext.performance_alert a SET resolved_at = coalesce(%(now)s::timestamptz, clock_timestamp())
FROM superset_ext.performance_alert_rule r
WHERE r.id = a.rule_id AND a.resolved_at IS NULL AND (r.id = %(rule)s OR %(rule)s IS NULL AND NOT r.enabled)
RETURNING a.id, r.id, r.name, r.metric_type, r.severity, a.subject, a.value, a.worst, a.confidence, a.resolved_at
"""


@dataclass(frozen=True, slots=True)
class Event:
    """An alert that began or ended.

    Attributes:
        value: the metric now; of one that was closed, when it began.
        worst: the metric at its worst.
        confidence: of an anomaly, 0 to 1.
        message: what people are told, in one line.
        at: when.
    """

    kind: Literal["fired", "resolved"]
    alert_id: int
    rule_id: int
    name: str
    metric_type: str
    severity: str
    subject: str
    value: float
    worst: float
    confidence: float | None
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Open:
    """An alert that lasts."""

    id: int
    worst: float
    since: datetime
    confidence: float | None


def lasting(cursor: Any, rule_id: int) -> Mapping[str, Open]:
    """The alerts of a rule that last, by subject."""
    cursor.execute(_OPEN, (rule_id,))
    return {subject: Open(*rest) for subject, *rest in cursor.fetchall()}


def cooling(cursor: Any, rule_id: int, now: datetime, minutes: int) -> set[str]:
    """The subjects whose last alert ended within so many minutes."""
    cursor.execute(_ENDED, (rule_id, now, minutes))
    return {row[0] for row in cursor.fetchall()}


def fire(cursor: Any, values: Mapping[str, Any]) -> int | None:
    """Begin an alert; its id, or `None` where it lasts already."""
    cursor.execute(_FIRE, values)
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def worsen(cursor: Any, alert_id: int, worst: float, confidence: float | None) -> None:
    """Keep the worst value of an alert."""
    cursor.execute(_WORSE, (worst, confidence, alert_id))


def resolve(cursor: Any, alert_id: int, now: datetime) -> bool:
    """End an alert; whether it lasted."""
    cursor.execute(_RESOLVE, (now, alert_id))
    return bool(cursor.rowcount)


def notice(cursor: Any, event: Event) -> Event:
    """Have people told of an event."""
    head = event.severity.capitalize() if event.kind == "fired" else "Resolved"
    values = {
        "alert": event.alert_id, "event": event.kind, "severity": event.severity,
        "title": f"{head}: {event.name}", "body": event.message,
    }  # fmt: skip
    cursor.execute(_NOTICE, values)
    return event


def close(cursor: Any, rule_id: int | None, why: str, now: datetime | None = None) -> list[Event]:
    """End the alerts of a rule, or with `None` those of all rules that are switched off, because of something that is
    no reading."""
    cursor.execute(_CLOSE, {"rule": rule_id, "now": now})
    return [notice(cursor, _closed(row, why)) for row in cursor.fetchall()]


def _closed(row: tuple[Any, ...], why: str) -> Event:
    *head, at = row
    alert_id, rule_id, name, metric, severity, subject, value, worst, confidence = head
    message = f"{name}, {subject}: closed, since {why}"
    return Event("resolved", alert_id, rule_id, name, metric, severity, subject, value, worst, confidence, message, at)

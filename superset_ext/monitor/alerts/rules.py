"""Rules of alerts as rows: what may be asked for, and the verbs that REST and CLI share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from superset_ext.core.log_database import LogDatabase, next_row
from superset_ext.errors import SupersetExtError
from superset_ext.monitor.alerts import events as alert_events
from superset_ext.monitor.alerts.state import Operator

Severity = Literal["info", "warning", "critical"]
MetricType = Literal[
    "hit_ratio", "invalidation_share", "memory_share", "slow_query_share", "slow_query_spike", "cache_error_share",
    "query_error_share", "view_age", "warm_failures", "warm_read_ratio", "lock_wait", "statistics_stale",
    "index_bloat", "plan_slower", "rewrite_difference", "aggregate_difference", "anomaly",
]  # fmt: skip
METRIC_TYPES: tuple[MetricType, ...] = get_args(MetricType)
# PostgreSQL's text holds no NUL; longer names fit on no screen.
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Minutes = Annotated[int, Field(le=10_080)]
_LARGEST_ID = 2**63 - 1
_COLUMNS = (
    "name", "metric_type", "subject", "comparison_operator", "threshold_value", "clear_value", "window_minutes",
    "min_occurrences", "severity", "cooldown_minutes", "enabled",
)  # fmt: skip
_SELECT = f"SELECT id, {', '.join(_COLUMNS)}, builtin FROM superset_ext.performance_alert_rule"  # noqa: S608  (names)
_RULES = f"""
SELECT r.*, (SELECT count(*) FROM superset_ext.performance_alert a WHERE a.rule_id = r.id AND a.resolved_at IS NULL)
    AS open
FROM ({_SELECT}) AS r ORDER BY r.id
"""  # noqa: S608  (names)
_ADD = f"""
INSERT INTO superset_ext.performance_alert_rule ({", ".join(_COLUMNS)})
VALUES ({", ".join(f"%({name})s" for name in _COLUMNS)})
ON CONFLICT (name) DO NOTHING RETURNING id
"""  # noqa: S608  (names)
_CHANGE = f"""
UPDATE superset_ext.performance_alert_rule SET {", ".join(f"{name} = %({name})s" for name in _COLUMNS)}
WHERE id = %(id)s AND NOT EXISTS (
    SELECT FROM superset_ext.performance_alert_rule other WHERE other.name = %(name)s AND other.id <> %(id)s)
"""  # noqa: S608  (names)
_OFF = "UPDATE superset_ext.performance_alert_rule SET enabled = false WHERE id = %s"
_DELETE = "DELETE FROM superset_ext.performance_alert_rule WHERE id = %s"


class AlertError(SupersetExtError):
    """A rule is none, or there is none of that id."""


class AlertRule(BaseModel):
    """A rule, as a person writes it.

    Attributes:
        name: what people call it; no two rules share one.
        metric_type: what is measured; see `alert_metrics.METRICS` for what each is.
        subject: the only subject that it watches; `None` for all.
        threshold_value: in the metric's unit: a share from 0 to 1, times the usual, minutes, or a confidence.
        clear_value: an alert ends once the metric is past this; `None` for the threshold itself.
        window_minutes: minutes that it is measured over.
        min_occurrences: misses, dropped answers, slow queries, errors or samples below which nothing is said.
        cooldown_minutes: minutes after the end of an alert in which the same one is not raised again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    metric_type: MetricType
    threshold_value: Finite
    comparison_operator: Operator
    subject: Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[^\x00]*$")] | None = None
    clear_value: Finite | None = None
    window_minutes: Annotated[Minutes, Field(ge=1)] = 15
    min_occurrences: int = Field(5, ge=1, le=2**31 - 1)
    severity: Severity = "warning"
    cooldown_minutes: Annotated[Minutes, Field(ge=0)] = 30
    enabled: bool = True

    @model_validator(mode="after")
    def _clears(self) -> AlertRule:
        upward = self.comparison_operator in (">", ">=")
        clear = self.threshold_value if self.clear_value is None else self.clear_value
        if clear != self.threshold_value and (clear > self.threshold_value) is upward:
            side = "below" if upward else "above"
            raise ValueError(f"clear_value must be {side} threshold_value, so that an alert can end; leave it out for "
                             "the threshold itself")  # fmt: skip
        if self.metric_type == "anomaly" and not (upward and 0 < self.threshold_value < 1):
            raise ValueError("an anomaly is compared by its confidence: write >= and a threshold_value between 0 and 1")
        return self


class StoredRule(AlertRule):
    """A rule that is a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int
    builtin: bool


def parse(fields: Mapping[str, Any]) -> AlertRule:
    """The rule that somebody wrote.

    Raises:
        AlertError: in one line, what is wrong with it.
    """
    try:
        return AlertRule.model_validate(dict(fields))
    except ValidationError as error:
        raise AlertError(_problem(error)) from None


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))[:80]
    if first["type"] == "extra_forbidden":
        return f"{place!r} is no field of a rule; use {', '.join(AlertRule.model_fields)}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place!r}: {message}" if place else message


def rules(database: LogDatabase) -> list[dict[str, Any]]:
    """All rules by id, each with the number of its `open` alerts.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    return database.rows(_RULES)


def enabled(database: LogDatabase) -> list[int]:
    """The ids of the rules that are watched.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`.
    """
    rows = database.rows("SELECT id FROM superset_ext.performance_alert_rule WHERE enabled ORDER BY id")
    return [row["id"] for row in rows]


def claim(cursor: Any, rule_id: int) -> StoredRule | None:
    """A rule that is watched, for this transaction alone; `None` where another process has it, or it is gone.

    Raises:
        AlertError: the row is none that may be asked for, written past these verbs.
    """
    cursor.execute(f"{_SELECT} WHERE id = %s AND enabled FOR UPDATE SKIP LOCKED", (rule_id,))
    values = next_row(cursor)
    try:
        return StoredRule.model_validate(values) if values else None
    except ValidationError as error:
        raise AlertError(f"rule {rule_id} is not watched: {_problem(error)}; change or remove it") from None


def add(database: LogDatabase, rule: AlertRule) -> int:
    """Store a rule; its id.

    Raises:
        AlertError: there is one of that name.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        cursor.execute(_ADD, rule.model_dump())
        row = cursor.fetchone()
    if row is None:
        raise AlertError(f"there is a rule named {rule.name!r} already; give this one another name, or change that one")
    return int(row[0])


def change(database: LogDatabase, rule_id: int, fields: Mapping[str, Any]) -> AlertRule:
    """Change the fields of a rule that `fields` has; one that is switched off ends its alerts.

    Raises:
        AlertError: there is no such rule, another one has the name, or the rule would be none.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        kept = _locked(cursor, rule_id)
        rule = parse({name: kept[name] for name in _COLUMNS} | dict(fields))
        cursor.execute(_CHANGE, rule.model_dump() | {"id": rule_id})
        if not cursor.rowcount:
            raise AlertError(f"there is a rule named {rule.name!r} already; give this one another name")
        if not rule.enabled:
            alert_events.close(cursor, rule_id, "its rule was switched off")
    return rule


def remove(database: LogDatabase, rule_id: int) -> Literal["removed", "switched off"]:
    """Delete a rule, or switch a built-in one off, since that would be missed; its alerts end.

    Raises:
        AlertError: there is no such rule.
        LogUnavailable: see `LogDatabase.transaction`.
    """
    with database.transaction() as cursor:
        builtin = _locked(cursor, rule_id)["builtin"]
        what: Literal["removed", "switched off"] = "switched off" if builtin else "removed"
        alert_events.close(cursor, rule_id, f"its rule was {what}")
        cursor.execute(_OFF if builtin else _DELETE, (rule_id,))
    return what


def _locked(cursor: Any, rule_id: int) -> dict[str, Any]:
    if 0 < rule_id <= _LARGEST_ID:
        cursor.execute(f"{_SELECT} WHERE id = %s FOR UPDATE", (rule_id,))
        if row := next_row(cursor):
            return row
    raise AlertError(f"there is no rule {rule_id}; superset perf alerts lists them")

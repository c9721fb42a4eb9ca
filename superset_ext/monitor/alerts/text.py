"""What people are told of an alert: one line each, with the figure, the limit and what it was counted from."""

from __future__ import annotations

from datetime import timedelta

from superset_ext.monitor.alerts.metrics import METRICS, Unit
from superset_ext.monitor.alerts.rules import AlertRule
from superset_ext.monitor.alerts.state import Reading

_SIDES = {">": "over", ">=": "at least", "<": "under", "<=": "at most"}
# Of states as they are now, a window would mean nothing.
_NO_WINDOW = ("view_age", "warm_failures", "statistics_stale", "index_bloat", "anomaly")


def began(rule: AlertRule, reading: Reading) -> str:
    """Why an alert began."""
    metric = METRICS[rule.metric_type]
    what = _upper(metric.what.format(label=reading.label))
    if reading.confidence is not None:
        return (f"{what}: {_figure(reading.value, reading.subject)}, usually {_figure(reading.usual, reading.subject)} "
                f"(confidence {reading.confidence:.1%})")  # fmt: skip
    limit = f"{_SIDES[rule.comparison_operator]} {shown(rule.threshold_value, metric.unit)}"
    counted = f"; {reading.occurrences} {metric.counted}" if metric.counted else ""
    window = "" if rule.metric_type in _NO_WINDOW else f" in {duration(timedelta(minutes=rule.window_minutes))}"
    return f"{what}: {shown(reading.value, metric.unit)}{window} (alert: {limit}{counted})"


def ended(rule: AlertRule, reading: Reading, worst: float, lasted: timedelta) -> str:
    """That it is over."""
    metric = METRICS[rule.metric_type]
    what = _upper(metric.what.format(label=reading.label))
    if reading.confidence is not None:
        return f"{what}: {_figure(reading.value, reading.subject)}, as usual again after {duration(lasted)}"
    now, then = shown(reading.value, metric.unit), shown(worst, metric.unit)
    return f"{what}: {now} again; it was {then} at worst, for {duration(lasted)}"


def unknown(rule: AlertRule, subject: str, lasted: timedelta) -> str:
    """That nothing is measured of it any more, which ends an alert without saying that all is well."""
    return f"Nothing is known of {subject} any more, after {duration(lasted)}: {rule.name}"


def shown(value: float, unit: Unit) -> str:
    """A figure in its unit."""
    if unit == "share":
        return f"{value * 100:.3g} %"
    if unit in ("factor", "count"):
        return f"{value:.3g} times" if unit == "factor" else f"{value:.0f}"
    return f"{value:.3g} times the usual" if unit == "times" else duration(timedelta(minutes=value))


def _figure(value: float | None, series: str) -> str:
    value = value or 0.0
    if "_ms" in series:
        return f"{value:.0f} ms"
    return f"{value:.0f}" if series == "requests" else f"{value * 100:.3g} %"


def duration(time: timedelta) -> str:
    """As people say it: 45 seconds, 15 minutes, 3 hours, 2 days."""
    seconds = max(time.total_seconds(), 0.0)
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size or (size == 60 and seconds >= 60):
            number = round(seconds / size)
            return f"{number} {name if number > 1 else name[:-1]}"
    return f"{seconds:.0f} seconds"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]

"""`superset perf alerts`."""

from __future__ import annotations

import json
from typing import Any

import click
from flask.cli import AppGroup

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.monitor.alerts import notify, rules
from superset_ext.monitor.alerts.evaluate import recent
from superset_ext.package import package, this_app


@click.group(cls=AppGroup)
def alerts() -> None:
    """Show alerts and their rules; change the rules."""


@alerts.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show the rules, and the alerts of the last 30 days."""
    database = package().log()
    known, latest = rules.rules(database), recent(database)
    lines = [*map(_rule_line, known), "", *(map(_alert_line, latest) if latest else ["No alert within 30 days."])]
    show(as_json, {"rules": known, "alerts": latest}, "\n".join(lines))


def _rule_line(rule: dict[str, Any]) -> str:
    state = "on " if rule["enabled"] else "off"
    condition = f"{rule['metric_type']} {rule['comparison_operator']} {rule['threshold_value']:g}"
    return (
        f"{rule['id']:>4} {state} {rule['severity']:<8} {rule['name']}: {condition} over {rule['window_minutes']} min"
    )


def _alert_line(alert: dict[str, Any]) -> str:
    end = f"until {alert['resolved_at']:%m-%d %H:%M}" if alert["resolved_at"] else "still lasts"
    return f"{alert['fired_at']:%Y-%m-%d %H:%M} {end:<17} {alert['severity']:<8} {alert['message']}"


@alerts.command()
@click.argument("rule", metavar="JSON")
def add(rule: str) -> None:
    """Add a rule, written as a JSON object.

    It needs name, metric_type, comparison_operator and threshold_value. It may have subject, clear_value,
    window_minutes, min_occurrences, severity, cooldown_minutes and enabled.

    metric_type is hit_ratio, invalidation_share, memory_share, slow_query_share, slow_query_spike, cache_error_share,
    query_error_share, view_age, warm_failures, warm_read_ratio, lock_wait, statistics_stale, index_bloat, plan_slower,
    rewrite_difference, aggregate_difference or anomaly.

    For example '{"name": "Few hits", "metric_type": "hit_ratio", "comparison_operator": "<", "threshold_value": 0.5}'.
    """
    number = rules.add(package().log(), rules.parse(_object(rule)))
    click.echo(f"Rule {number} added.")


@alerts.command()
@click.argument("number", type=int)
@click.argument("fields", metavar="JSON")
def change(number: int, fields: str) -> None:
    """Change fields of rule NUMBER, written as a JSON object.

    For example '{"enabled": false}' or '{"threshold_value": 0.8}'.
    """
    rules.change(package().log(), number, _object(fields))
    click.echo(f"Rule {number} changed.")


@alerts.command()
@click.argument("number", type=int)
def remove(number: int) -> None:
    """Remove rule NUMBER; a built-in one is switched off."""
    click.echo(f"Rule {number} {rules.remove(package().log(), number)}.")


@alerts.command("try")
def try_() -> None:
    """Send a trial notice to all SUPERSET_EXT_ALERT_URLS."""
    addresses = package().settings.alert_urls
    if not addresses:
        raise click.ClickException("nobody is named; set SUPERSET_EXT_ALERT_URLS")
    config = this_app().config
    outbox = notify.Outbox(addresses, config, config["SECRET_KEY"])
    failed = notify.send(outbox, "Superset: a trial", "This is what an alert of the performance layer looks like.")
    for reason in failed.values():
        click.echo(reason, err=True)
    click.echo(f"Sent to {len(addresses) - len(failed)} of {len(addresses)} addresses.")
    if failed:
        raise click.exceptions.Exit(1)


def _object(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise click.BadParameter("is not a JSON object", param_hint="JSON")
    return parsed

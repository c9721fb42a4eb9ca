"""`superset perf refresh`, `recommend` and `alerts`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import SupersetExtError
from superset_ext.host.names import object_names
from superset_ext.monitor.advice.recommend import Recommendation
from superset_ext.monitor.advice.recommend import recommend as advise
from superset_ext.monitor.alerts import notify
from superset_ext.monitor.alerts import rules as alert_rules
from superset_ext.monitor.alerts.evaluate import recent
from superset_ext.monitor.rollup.views import Refreshed, apply_views
from superset_ext.monitor.rollup.views import refresh as refresh_views
from superset_ext.package import EXTENSION, Package

_WIDTH = 110


@click.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def refresh(as_json: bool) -> None:
    """Bring what the performance dashboards show up to now, as beat does every minute."""
    package = _package()
    database = _log(package)
    _clear(lambda: apply_views(database))
    done: Sequence[Refreshed] = _clear(lambda: refresh_views(database, package.settings.slow_query_ms, object_names))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in done]))
    else:
        for each in done:
            click.echo(f"{each.view:<20} {_outcome(each)}")
    if any(each.error for each in done):
        raise click.exceptions.Exit(1)


def _outcome(done: Refreshed) -> str:
    return f"failed: {done.error}" if done.error else f"{done.rows:>10} rows  {done.seconds:>7.2f} s"


@click.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the evidence.")
def recommend(as_json: bool) -> None:
    """What to set otherwise, why, and what that should bring; nothing is changed."""
    package = _package()
    found: Sequence[Recommendation] = _clear(lambda: advise(current_app, _log(package), package.settings))
    if as_json:
        click.echo(json.dumps([each.as_dict() for each in found], default=str, indent=2))
    elif not found:
        click.echo("Nothing to recommend: the log speaks for no change.")
    else:
        click.echo("\n\n".join(_told(number, each) for number, each in enumerate(found, 1)))


def _told(number: int, each: Recommendation) -> str:
    parts = (f"{number}. {each.found}", f"Set: {each.set_}", f"Brings: {each.brings}")
    return "\n".join(textwrap.fill(part, _WIDTH, subsequent_indent="   ", initial_indent="" if not index else "   ")
                     for index, part in enumerate(parts))  # fmt: skip


@click.group()
def alerts() -> None:
    """Rules of alerts, and what they have found."""


@alerts.command("list")
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """The rules, and the alerts of the last 30 days."""
    database = _log(_package())
    rules, found = _clear(lambda: alert_rules.rules(database)), _clear(lambda: recent(database))
    if as_json:
        click.echo(json.dumps({"rules": rules, "alerts": found}, default=str, indent=2))
        return
    for rule in rules:
        click.echo(_rule(rule))
    click.echo("\n".join(["", *map(_alert, found)]) if found else "\nNo alert within 30 days.")


def _rule(rule: dict[str, Any]) -> str:
    state = "on " if rule["enabled"] else "off"
    condition = f"{rule['metric_type']} {rule['comparison_operator']} {rule['threshold_value']:g}"
    return (
        f"{rule['id']:>4} {state} {rule['severity']:<8} {rule['name']}: {condition} over {rule['window_minutes']} min"
    )


def _alert(alert: dict[str, Any]) -> str:
    end = f"until {alert['resolved_at']:%m-%d %H:%M}" if alert["resolved_at"] else "still lasts"
    return f"{alert['fired_at']:%Y-%m-%d %H:%M} {end:<17} {alert['severity']:<8} {alert['message']}"


@alerts.command()
@with_appcontext
@click.argument("rule", metavar="JSON")
def add(rule: str) -> None:
    """Add a rule, a JSON object with name, metric_type, comparison_operator, threshold_value and so on."""
    database = _log(_package())
    number = _clear(lambda: alert_rules.add(database, alert_rules.parse(_object(rule))))
    click.echo(f"Rule {number} added.")


@alerts.command()
@with_appcontext
@click.argument("number", type=int)
@click.argument("rule", metavar="JSON")
def change(number: int, rule: str) -> None:
    """Change some fields of rule NUMBER: '{"enabled": false}', '{"threshold_value": 0.8}'."""
    database = _log(_package())
    said = _object(rule)
    _clear(lambda: alert_rules.change(database, number, said))
    click.echo(f"Rule {number} changed.")


@alerts.command()
@with_appcontext
@click.argument("number", type=int)
def remove(number: int) -> None:
    """Remove rule NUMBER; a built-in one is switched off."""
    database = _log(_package())
    click.echo(f"Rule {number} {_clear(lambda: alert_rules.remove(database, number))}.")


@alerts.command("try")
@with_appcontext
def try_() -> None:
    """Send a trial to everybody whom SUPERSET_EXT_ALERT_URLS names."""
    addresses = _package().settings.alert_urls
    if not addresses:
        raise click.ClickException("nobody is named; set SUPERSET_EXT_ALERT_URLS")
    outbox = notify.Outbox(addresses, current_app.config, current_app.config["SECRET_KEY"])
    failed = notify.send(outbox, "Superset: a trial", "This is what an alert of the performance layer looks like.")
    for reason in failed.values():
        click.echo(reason, err=True)
    click.echo(f"{len(addresses) - len(failed)} of {len(addresses)} told.")
    if failed:
        raise click.exceptions.Exit(1)


def _object(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise click.BadParameter("is no JSON object", param_hint="JSON")
    return said


def _package() -> Package:
    package = current_app.extensions.get(EXTENSION)
    if package is None:
        raise click.ClickException("the package is not switched on; set SUPERSET_EXT_REDIS_URL")
    return package  # type: ignore[no-any-return]


def _log(package: Package) -> LogDatabase:
    if package.database is None:
        raise click.ClickException("no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL")
    return package.database


def _clear(verb: Callable[[], Any]) -> Any:
    try:
        return verb()
    except SupersetExtError as error:
        raise click.ClickException(str(error)) from None

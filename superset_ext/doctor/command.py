"""`superset perf doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from flask.cli import with_appcontext

from superset_ext.doctor.examine import examine
from superset_ext.doctor.finding import Finding
from superset_ext.package import package, this_app

_COLORS = {"fine": "green", "warning": "yellow", "error": "red"}


@click.command()
@with_appcontext
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check the whole set-up: what is wrong, and how to fix it."""
    findings = examine(this_app(), package())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(_line(finding))
    if any(finding.level == "error" for finding in findings):
        raise click.exceptions.Exit(1)


def _line(finding: Finding) -> str:
    level = click.style(f"{finding.level:<8}", fg=_COLORS[finding.level])
    fix = f"; {finding.fix}" if finding.fix else ""
    return f"{level} {finding.check:<11} {finding.message}{fix}"

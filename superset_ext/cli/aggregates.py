"""`superset perf aggregates`."""

from __future__ import annotations

import click

from superset_ext.cli.aggregate_proposals import propose
from superset_ext.cli.aggregate_tables import build, check, drop, list_, refresh


@click.group()
def aggregates() -> None:
    """Small tables that answer the charts of large ones."""


for command in (propose, build, refresh, check, drop, list_):
    aggregates.add_command(command)

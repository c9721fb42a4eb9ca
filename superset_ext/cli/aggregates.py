"""`superset perf aggregates`."""

from __future__ import annotations

import click

from superset_ext.cli.aggregate_proposals import propose


@click.group()
def aggregates() -> None:
    """Small tables that answer the charts of large ones."""


for command in (propose,):
    aggregates.add_command(command)

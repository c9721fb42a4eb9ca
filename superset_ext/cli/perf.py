"""`superset perf …`: a command is a file of this folder, named as it is."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from superset_ext.cli.alerts import alerts
from superset_ext.cli.dashboards import dashboards
from superset_ext.cli.invalidate import invalidate
from superset_ext.cli.listen import listen
from superset_ext.cli.recommend import recommend
from superset_ext.cli.refresh import refresh
from superset_ext.cli.status import status
from superset_ext.cli.uninstall import uninstall
from superset_ext.cli.upgrade import upgrade
from superset_ext.cli.warm import warm
from superset_ext.cli.watch import watch
from superset_ext.errors import SupersetExtError


class Commands(AppGroup):
    """Commands that end with one line and status 1 if the package raises an error of its own."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SupersetExtError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Commands)
def perf() -> None:
    """Superset's caches: warm them, watch them, measure them."""


for command in (
    alerts, dashboards, invalidate, listen, recommend, refresh, status, uninstall, upgrade, warm, watch,
):  # fmt: skip
    perf.add_command(command)

"""`superset perf …`: a command is a file of this folder, named as it is, and is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
from flask.cli import AppGroup

from superset_ext.core import quiet
from superset_ext.errors import SupersetExtError

NAMES = (
    "aggregates", "alerts", "dashboards", "explain", "indexes", "invalidate", "listen", "recommend", "refresh",
    "rewrite", "status", "uninstall", "upgrade", "upkeep", "warm", "watch",
)  # fmt: skip


class Commands(AppGroup):
    """Commands that end with one line and status 1 if the package raises an error of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*NAMES, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command of this folder, or one that was added."""
        if cmd_name in NAMES:
            command: click.Command = getattr(import_module(f"superset_ext.cli.{cmd_name}"), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line; from here on, what is printed is the command's own."""
        quiet.end()
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SupersetExtError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Commands)
@click.option(quiet.VERBOSE, is_flag=True, help="Let Superset's own log through.")
def perf(verbose: bool) -> None:
    """Superset's caches: warm them, watch them, measure them."""

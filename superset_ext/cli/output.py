"""How commands print their result."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

NOTHING = "–"  # a cell without a value
_PIPE_WIDTH = 160  # a pipe has no width of its own


def show(as_json: bool, value: Any, text: str) -> None:
    """Print a value as JSON, or the text that tells it to a person."""
    click.echo(json.dumps(value, default=str, indent=2) if as_json else text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = (), wrap: str = ""
) -> None:
    """Print a table.

    Args:
        right: the columns that are aligned to the right.
        wrap: the only column that may take several lines.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name != wrap, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)

"""Progress of steps that take a while: live on a terminal; elsewhere a line for each part of a step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Report = Callable[..., None]


@contextmanager
def step(title: str) -> Iterator[Report]:
    """Show that a step runs, and at its end how many seconds it took.

    Yields a function: `report(part, share)`, with the name of the part that begins, and the share of that part that is
    done, from 0 to 1, where it is known.
    """
    began = time.monotonic()
    if sys.stdout.isatty():
        with _live(title) as report:
            yield report
    else:
        print(f"{title} …", flush=True)
        yield _lines()
    print(f"{title}: done in {time.monotonic() - began:.1f} s", flush=True)


@contextmanager
def _live(title: str) -> Iterator[Report]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(highlight=False), transient=True) as progress:
        task = progress.add_task(title, total=None)

        def report(part: str, share: float | None = None) -> None:
            progress.update(task, description=f"{title}: {part}" + ("" if share is None else f" {share:.0%}"))

        yield report


def _lines() -> Report:
    shown: list[str] = []

    def report(part: str, share: float | None = None) -> None:
        """Only a new part gets a line; the share changes too often."""
        if part not in shown:
            shown.append(part)
            print(f"  {part} …", flush=True)

    return report

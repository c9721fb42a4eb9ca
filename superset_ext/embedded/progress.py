"""Steps that take a while, shown as they go: live on a terminal, a line at start and end elsewhere."""

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
    """Show that `title` is going on, and how long it took.

    Yields a function: `report("what now", share)`, with a share of the step from 0 to 1 where one is known.
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

        def report(what: str, share: float | None = None) -> None:
            progress.update(task, description=f"{title}: {what}" + ("" if share is None else f" {share:.0%}"))

        yield report


def _lines() -> Report:
    shown: list[str] = []

    def report(what: str, share: float | None = None) -> None:
        """Only a change of the matter is worth a line; the share moves too often."""
        if what not in shown:
            shown.append(what)
            print(f"  {what} …", flush=True)

    return report

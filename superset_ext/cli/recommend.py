"""`superset perf recommend`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click
from flask.cli import with_appcontext

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.package import package, this_app
from superset_ext.plans.everything import MOST, everything
from superset_ext.plans.items import SECTIONS, Item, items_of

_WIDTH = 110
_INDENT = "   "
_WHOLE = frozenset({"Build", "Take it away", "Run", "Next"})  # lines that somebody copies


@click.command()
@click.option("--look", "looks", is_flag=True, help="Ask sources first which indexes would help, and what they need.")
@with_appcontext
@json_option
def recommend(looks: bool, as_json: bool) -> None:
    """Show what would make things quicker, and why.

    What to set otherwise, indexes that would help and what became of those that were built, other texts of slow
    statements, what their plans show, and what sources need. Nothing is changed, and without --look no source is asked:
    beat does that once a day, and once an hour for what they need. JSON has the evidence too.
    """
    here = package()
    if looks:
        _look(this_app(), here)
    items = items_of(everything(this_app(), here, MOST))
    text = "\n\n".join(_paragraphs(items))
    show(
        as_json,
        [item.as_dict() for item in items],
        text or "Nothing to recommend: nothing in the log asks for a change.",
    )


def _look(app: Any, here: Any) -> None:
    from superset_ext.plans.indexes import proposals
    from superset_ext.plans.upkeep.kept import look

    proposals.look(app, here.log(), here.settings, only_due=False)
    look(app, here.log(), here.settings)


def _paragraphs(items: list[Item]) -> Iterator[str]:
    title = ""
    for number, item in enumerate(items, 1):
        if SECTIONS[item.section] != title:
            title = SECTIONS[item.section]
            yield f"{title}:"
        yield _paragraph(number, item)


def _paragraph(number: int, item: Item) -> str:
    lines = [
        f"{_INDENT}{name}: {text}" if name in _WHOLE else _filled(f"{name}: {text}", _INDENT)
        for name, text in item.lines
        if text
    ]
    return "\n".join([_filled(f"{number}. {item.finding}"), *lines])


def _filled(line: str, first: str = "") -> str:
    return textwrap.fill(
        line, _WIDTH, initial_indent=first, subsequent_indent=_INDENT, break_on_hyphens=False, break_long_words=False
    )

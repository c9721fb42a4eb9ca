"""`superset perf recommend`."""

from __future__ import annotations

import textwrap

import click
from flask.cli import with_appcontext

from superset_ext.cli.options import json_option
from superset_ext.cli.output import show
from superset_ext.monitor.advice.recommend import Recommendation
from superset_ext.monitor.advice.recommend import recommend as advise
from superset_ext.package import package, this_app

_WIDTH = 110
_INDENT = "   "


@click.command()
@with_appcontext
@json_option
def recommend(as_json: bool) -> None:
    """Show what to set otherwise, why, and what that brings.

    Nothing is changed. JSON has the evidence too.
    """
    here = package()
    recommendations = advise(this_app(), here.log(), here.settings)
    text = "\n\n".join(_paragraph(number, recommendation) for number, recommendation in enumerate(recommendations, 1))
    value = [recommendation.as_dict() for recommendation in recommendations]
    show(as_json, value, text or "Nothing to recommend: nothing in the log asks for a change.")


def _paragraph(number: int, recommendation: Recommendation) -> str:
    first = textwrap.fill(f"{number}. {recommendation.finding}", _WIDTH, subsequent_indent=_INDENT)
    others = (f"Set: {recommendation.set_}", f"Brings: {recommendation.brings}")
    return "\n".join(
        [first, *(textwrap.fill(other, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT) for other in others)]
    )

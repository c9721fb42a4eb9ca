"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Mapping

import click

from superset_ext.plans.indexes.workload import DAYS

_UNITS: Mapping[str, int] = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def ids(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """A callback of an option: ids, given in one list or in several."""
    words = _words(values)
    try:
        return tuple(int(word) for word in words)
    except ValueError:
        raise click.BadParameter(f"{' '.join(words)!r} is not a list of ids") from None


def ids_or_all(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...] | str:
    """A callback of an option: `all`, or ids."""
    return "all" if _words(values) == ["all"] else ids(context, option, values)


def _words(values: tuple[str, ...]) -> list[str]:
    return [word for value in values for word in value.replace(",", " ").split()]


def _bytes(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Bytes, given as a number with or without a unit."""
    if value is None:
        return None
    text = value.strip().lower().removesuffix("b").removesuffix("i")
    number, unit = text.rstrip("kmgt"), text[len(text.rstrip("kmgt")) :]
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no size; write 500MB, 2GB or a number of bytes") from None


budget_option = click.option(
    "--budget", callback=_bytes, metavar="BYTES", help="What is new may take in all, as 500MB."
)
days_option = click.option("--days", type=click.IntRange(1), default=DAYS, show_default=True, help="Of the query log.")

"""Options that several commands have."""

from __future__ import annotations

import click

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

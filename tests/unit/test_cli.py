"""The commands as `--help` describes them, and the one line that an error of ours comes to."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from flask import Flask

from superset_ext.cli.perf import Commands, perf
from superset_ext.doctor.command import doctor
from superset_ext.errors import LogUnavailable


def groups(command: click.Group, name: str = "perf") -> Iterator[tuple[str, click.Group]]:
    """The group and all groups below it."""
    yield name, command
    for word, below in commands_of(command).items():
        if isinstance(below, click.Group):
            yield from groups(below, f"{name} {word}")


def commands_of(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group, which are imported when they are asked for."""
    context = click.Context(group)
    found = {word: group.get_command(context, word) for word in group.list_commands(context)}
    return {word: command for word, command in found.items() if command is not None}


GROUPS = dict(groups(perf))


@pytest.mark.parametrize("name", GROUPS)
def test_each_description_is_whole(name: str) -> None:
    """Intent: on a terminal of 80 columns, the first sentence of each command stands on one line, and is not cut."""
    commands = commands_of(GROUPS[name]) | ({"doctor": doctor} if name == "perf" else {})
    group = click.Group(commands=commands)
    lines = CliRunner().invoke(group, ["--help"], terminal_width=80).output.splitlines()
    for word, command in commands.items():
        first, _, _ = (command.help or "").partition("\n\n")
        assert [word, first] in [line.split(maxsplit=1) for line in lines], lines
        assert first.endswith(".") and first[0].isupper()


def test_an_error_of_ours_is_one_line() -> None:
    """Intent: a person reads what failed, and a script its status; there is no traceback."""

    @click.group(cls=Commands)
    def group() -> None:
        """A group."""

    @group.command()
    def fails() -> None:
        raise LogUnavailable("the log database is away")

    result = Flask("bare").test_cli_runner().invoke(group, ["fails"])
    assert (result.exit_code, result.output) == (1, "Error: the log database is away\n")

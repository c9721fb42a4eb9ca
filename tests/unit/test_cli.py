"""The commands as `--help` describes them, and the one line that an error of ours comes to."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from flask import Flask

from superset_ext.cli.bare import needs_no_superset
from superset_ext.cli.perf import Commands, perf
from superset_ext.doctor.command import doctor
from superset_ext.errors import LogUnavailable
from superset_ext.monitor.alerts.rules import METRIC_TYPES, AlertRule


def groups(command: click.Group, name: str = "perf") -> Iterator[tuple[str, click.Group]]:
    """The group and all groups below it."""
    yield name, command
    for word, below in commands_of(command).items():
        if isinstance(below, click.Group):
            yield from groups(below, f"{name} {word}")


def commands_of(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group, which are imported when they are asked for."""
    context = click.Context(group)
    commands = {word: group.get_command(context, word) for word in group.list_commands(context)}
    return {word: command for word, command in commands.items() if command is not None}


GROUPS = dict(groups(perf))


@pytest.mark.parametrize("name", GROUPS)
def test_each_description_is_whole(name: str) -> None:
    """Intent: on a terminal of 80 columns, of which click uses 78, a first sentence stands on one line, uncut."""
    commands = commands_of(GROUPS[name]) | ({"doctor": doctor} if name == "perf" else {})
    group = click.Group(commands=commands)
    lines = CliRunner().invoke(group, ["--help"], terminal_width=78).output.splitlines()
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


def test_the_help_of_a_rule_names_all_fields() -> None:
    """Intent: a rule can be written from `--help` alone."""
    text = (commands_of(GROUPS["perf alerts"])["add"].help or "").replace("\n", " ")
    assert [word for word in (*METRIC_TYPES, *AlertRule.model_fields) if word not in text] == []


@pytest.mark.parametrize(("words", "expected"), [
    ("status --json", True), ("alerts list", True), ("recommend", True), ("warm", True), ("warm --json", True),
    ("warm --dashboards 1", False), ("alerts try mailto://x", False), ("alerts --help", False),
    ("recommend --look", False), ("upgrade", False), ("", False),
])  # fmt: skip
def test_what_needs_superset_starts_it(words: str, expected: bool) -> None:
    """Intent: a trial notice is sent by mail settings and a key whose defaults are Superset's own."""
    assert needs_no_superset(words.split()) is expected

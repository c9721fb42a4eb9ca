"""What Superset prints while it starts, and which commands let it through."""

from __future__ import annotations

import logging
import sys

import pytest

from superset_ext.core import quiet


@pytest.mark.parametrize(
    ("words", "is_quiet"),
    [
        (["perf", "status"], True),
        (["perf", "listen"], False),
        (["perf", "listen", "--help"], True),
        (["perf", "--help"], True),
        (["perf", "--verbose", "listen", "--help"], False),
        (["init"], False),
    ],
)
def test_which_commands_start_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], is_quiet: bool
) -> None:
    """Intent: all but a command whose log people read, and its help is none."""
    monkeypatch.setattr(sys, "argv", ["/bin/superset", *words])
    monkeypatch.setattr(logging, "disable", lambda _level: None)
    try:
        quiet.begin()
        print("Loaded your LOCAL configuration")
        assert quiet.is_on() == is_quiet
    finally:
        quiet.end()
    assert ("Loaded" in capsys.readouterr().out) != is_quiet

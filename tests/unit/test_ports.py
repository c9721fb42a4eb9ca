"""Ports for servers that are yet to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from superset_ext.embedded import ports


def test_no_client_is_given_a_port_that_waits_for_its_server() -> None:
    """Intent: between the choice and the start, the system gives the port to nobody who connects somewhere, so a server
    starts where it was to, and an address where nobody is to listen stays one."""
    numbers = {ports.free_port() for _ in range(200)}
    assert len(numbers) > 150
    assert max(numbers) < ports._first_of_clients()


@pytest.mark.parametrize("text", ["1024 65535", "", "no number", None])
def test_there_is_a_port_whatever_the_system_says(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: where clients get all ports, or nobody says which, there is one all the same."""
    if text is not None:
        (tmp_path / "range").write_text(text)
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    assert ports.is_free(ports.free_port())


def test_taken_ports_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: where everything that is tried is taken, the system chooses."""
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    assert ports.free_port() > 0

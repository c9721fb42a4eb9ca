"""The note of a stack that runs: `running.json`, checked before anybody trusts a number in it."""

from __future__ import annotations

import json
from typing import Any

_PARTS = ("web", "postgres", "valkey")


def parsed(text: str) -> dict[str, Any] | None:
    """The note; `None` where the text is no note that a stack writes."""
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) and _is_note(note) else None


def is_whole(ports: dict[str, int]) -> bool:
    """Whether a note names all ports of a stack."""
    return all(part in ports for part in _PARTS)


def _is_note(note: dict[str, Any]) -> bool:
    ports, parts = note.get("ports", {}), note.get("parts", {})
    return (
        isinstance(note.get("state_dir"), str)
        and isinstance(ports, dict)
        and all(is_port(port) for port in ports.values())
        and isinstance(parts, dict)
        and all(_is_process(part) for part in parts.values())
        and ("supervisor" not in note or _is_process(note["supervisor"]))
    )


def is_port(value: Any) -> bool:
    """Whether a value is the number of a port."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _is_process(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    pid, started = value.get("pid"), value.get("started")
    # Numbers of one and below mean other processes than one that a stack has started.
    return type(pid) is int and pid > 1 and isinstance(started, int | float) and not isinstance(started, bool)

"""Documents of a dashboard, asked for as a browser does, and held against the same app without grants."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from testing.grants import World

_SECONDS_AGO = re.compile(r'"(now|a second ago|\d+ seconds ago)"')


@dataclass(frozen=True)
class Told:
    """An answer: its status, words and ETag."""

    status: int
    words: Any
    etag: str | None


def ask(client: Any, path: str, etag: str | None = None, **headers: str) -> Told:
    """Ask for a document, as a browser that has one with this ETag."""
    more = headers | ({"If-None-Match": etag} if etag else {})
    answer = client.get(path, headers=more)
    return Told(answer.status_code, answer.get_json(silent=True), answer.headers.get("ETag"))


def granted(world: World, client: Any, path: str) -> Told:
    """A document that was given again; it was asked for as often as that takes."""
    hooks = world.grants.hooks
    for _ in range(6):
        before = hooks.given
        answer = ask(client, path)
        if hooks.given > before:
            return answer
    raise AssertionError(f"{path} is never granted: {hooks.refused}, {answer}")


def _aged(answer: Told) -> tuple[int, str]:
    """A status and words, in which what is said to be seconds ago is a moment ago: a slow machine may take a second
    between two answers."""
    return answer.status, _SECONDS_AGO.sub('"a moment ago"', json.dumps(answer.words))


def wrong(world: World, client: Any, path: str, old: Told) -> str | None:
    """What is wrong with what somebody is told now who has an old answer; `None` where the oracle says the same."""
    plain, conditional = ask(client, path), ask(client, path, old.etag)
    with world.off():
        expected = ask(client, path, old.etag)
    if _aged(plain) != _aged(expected):
        return f"{plain} without a condition, where Superset says {expected}"
    if conditional.status == 304:
        is_old = _aged(expected) == (200, _aged(old)[1])
        return None if is_old else f"304, where Superset says {expected}"
    if _aged(conditional) != _aged(expected):
        return f"{conditional} with a condition, where Superset says {expected}"
    return None

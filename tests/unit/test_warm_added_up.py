"""Uses of requests are added up before they are written: many of the same one cost little more than one."""

from __future__ import annotations

import pytest

from superset_ext.host.people import Identity
from superset_ext.warm.registry import tables
from superset_ext.warm.registry.requests import ChartRequest
from superset_ext.warm.registry.uses import Ids, Use


def use(body: str, args: str = "", at: float = 0.0) -> Use:
    """A use of a request with this body, made anew as each HTTP request makes it."""
    return Use(ChartRequest("data", "/api/v1/chart/data", args, "".join(body)), Identity(7), (), Ids(), at)


def test_requests_with_the_same_answer_are_one_row() -> None:
    """Intent: the order of fields changes no answer; another filter does."""
    same = [use('{"a": 1, "b": 2}'), use('{"b": 2, "a": 1}'), use('{"a": 1, "b": 2}', "force=true")]
    rows = tables._added_up([*same, use('{"a": 1, "b": 3}'), *same])
    assert sorted(row.uses for row in rows.values()) == [1, 6]


def test_a_request_is_named_once_however_often_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: granted answers come hundreds a second, and to name each use would take more time than to answer it."""
    named: list[str | None] = []
    name_of = ChartRequest.fingerprint
    monkeypatch.setattr(ChartRequest, "fingerprint", lambda self: (named.append(self.body), name_of(self))[1])
    rows = tables._added_up([use(body, at=at) for at in range(50) for body in ('{"a": 1}', '{"a": 2}')])
    assert sorted(row.uses for row in rows.values()) == [50, 50]
    assert [row.last.at for row in rows.values()] == [49, 49]
    assert sorted(map(str, named)) == ['{"a": 1}', '{"a": 2}']

"""Which tables are looked up for row-level rules while a key is made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from superset_ext.host import rights
from superset_ext.host.moment import moment


@pytest.mark.parametrize(
    ("exact", "database", "name", "asks"),
    [(True, 1, "t", True), (True, 1, "T", False), (False, 1, "T", True), (True, 2, "t", False), (False, 2, "t", False)],
)
def test_a_table_that_may_have_a_rule_is_looked_up(
    exact: bool, database: int, name: str, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: where the metadata database takes `T` for `t`, the rules of `t` are in the key of SQL that reads `T`."""
    monkeypatch.setattr(rights, "_ruled", lambda _memory: [(7, (1, "t"))])
    monkeypatch.setattr(rights, "_compares_exactly", lambda: exact)
    monkeypatch.setattr("superset_ext.host.services.security_manager", SimpleNamespace(is_guest_user=lambda: False))
    monkeypatch.setattr("superset_ext.host.moment.Memory.user", lambda _memory: 1)

    def stock(_table: Any, _database: Any, _catalog: Any) -> list[str]:
        return ["owner = 1"]

    with moment():
        clauses = rights.predicates_once(stock)(SimpleNamespace(table=name), SimpleNamespace(id=database), None)
    assert clauses == (["owner = 1"] if asks else [])

"""Whether the metadata database is there is looked up before Superset is: only where it is certain which one it is."""

from __future__ import annotations

from collections import ChainMap
from typing import Any

import pytest

from superset_ext.configuration.metadata import URI, MetadataAway, reach

AWAY = "postgresql://superset:secret@127.0.0.1:9/superset"


@pytest.mark.parametrize("password", ["12#x", "12/34", "1?2"])
def test_a_password_is_never_taken_for_a_host(password: str) -> None:
    """Intent: SQLAlchemy takes such a password as it stands; it must not end a command, nor be a part of its line."""
    with pytest.raises(MetadataAway, match=r"at 127\.0\.0\.1:9 ") as away:
        reach({URI: f"postgresql://superset:{password}@127.0.0.1:9/superset"}, {})
    assert "12" not in str(away.value).replace("127.0.0.1", "") and password not in str(away.value)


@pytest.mark.parametrize("own", [
    {URI: "postgresql://u:p@first.invalid,second.invalid/superset"},
    {URI: "postgresql://u:p@first.invalid:5432,second.invalid:5432/superset"},
    {URI: "postgresql://u:p@nowhere.invalid/superset?host=/var/run/postgresql"},
    {URI: AWAY, "SQLALCHEMY_ENGINE_OPTIONS": {"creator": print}},
    {URI: AWAY, "SQLALCHEMY_ENGINE_OPTIONS": {"connect_args": {"host": "elsewhere"}}},
    {URI: "sqlite:////superset.db"},
    {URI: "nonsense"},
    {},
])  # fmt: skip
def test_a_server_that_is_reached_in_another_way_is_not_looked_for(own: dict[str, Any]) -> None:
    """Intent: what Superset can start with, a command can."""
    reach(own, {})


def test_a_config_that_is_imported_by_another_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a base config names a database that is not there; the config that imports it names the right one."""
    base, production = {URI: AWAY}, {"ROW_LIMIT": 1}
    reach(ChainMap[str, Any](base, production), {})
    with pytest.raises(MetadataAway):
        reach(ChainMap[str, Any]({}, {URI: AWAY}), {})
    monkeypatch.setenv(f"SUPERSET__{URI}", AWAY)
    with pytest.raises(MetadataAway):
        reach(ChainMap[str, Any]({}, production), {})

"""SQLAlchemy has two names of one kind of server, `mysql` and `mariadb`; both are that server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from superset_ext.configuration.metadata import URI, MetadataAway, reach
from superset_ext.host.event_rows import _precision
from superset_ext.host.same_source import _place

NAMES = ("mysql", "mariadb")


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_logs_are_known_again_by_whole_seconds(name: str) -> None:
    """Intent: a row that was written by a commit in doubt is not written twice because MySQL rounds its time."""
    assert _precision(SimpleNamespace(dialect=SimpleNamespace(name=name))) == 1.0


def test_one_server_under_both_names_is_one_source() -> None:
    """Intent: a change that is reported of the one of Superset's databases drops charts of the other too."""
    places = [_place(f"{name}+pymysql://u:p@db.example.org/shop", None) for name in NAMES]
    assert places[0] is not None and places[1] is not None
    assert places[0].is_one_with(places[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_metadata_database_that_is_away_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a URL without a port is looked for at the port of its kind, under either name."""
    monkeypatch.setattr("superset_ext.configuration.metadata.SECONDS", 1.0)
    with pytest.raises(MetadataAway, match=r"at nowhere\.invalid:3306 "):
        reach({URI: f"{name}+pymysql://u:p@nowhere.invalid/superset"}, {})

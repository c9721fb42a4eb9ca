"""What a region refuses to store, and that nothing out of date is left behind where it does."""

from __future__ import annotations

import os

import pandas as pd
import pytest
from flask import Response
from werkzeug.wrappers import Response as BareResponse

from superset_ext.cache.entries import Policy
from superset_ext.cache.region import RegionCache
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Stored
from superset_ext.settings import DAY, Region, load
from testing.regions import PATIENT, client_of, heard, make_region


def fate(cache: RegionCache, value: object, timeout: float | None = None) -> Stored:
    """What becomes of a value set over an old one; unless it was stored, the old one must be gone."""
    cache.set("k", "old")
    with heard() as events:
        stored = cache.set("k", value, timeout)
    assert len(events) == 1
    assert stored is (events[0].result is Stored.STORED)
    if not stored:
        assert not cache.has("k")
    return events[0].result  # type: ignore[return-value]


@pytest.fixture(params=list(Region))
def region(request: pytest.FixtureRequest) -> Region:
    return Region(request.param)


@pytest.mark.parametrize("response", [Response("x"), BareResponse("x"), (Response("x"), 200)])
def test_responses_are_never_stored(valkey: Valkey, region: Region, response: object) -> None:
    """Intent: invariant 6: what was built for one user is not kept for another, whatever the codec could encode."""
    assert Policy(region, load({})).refuses(response) is Stored.REFUSED
    assert fate(make_region(valkey.url, region), response) is Stored.REFUSED


def test_what_cannot_be_encoded(valkey: Valkey, region: Region) -> None:
    """Intent: a value that no codec takes is refused, not raised."""
    assert fate(make_region(valkey.url, region), {"f": lambda: None}) is Stored.REFUSED


def test_the_cap_on_bytes(valkey: Valkey, region: Region) -> None:
    """Intent: above it is skipped; SQL Lab's results have no cap, since a query fails without its result."""
    cache = make_region(valkey.url, region, max_entry_bytes=4096)
    limited = region is not Region.QUERY_RESULTS
    assert fate(cache, os.urandom(10_000)) is (Stored.TOO_LARGE if limited else Stored.STORED)
    assert fate(cache, b"x") is Stored.STORED


def test_the_cap_on_rows(valkey: Valkey) -> None:
    """Intent: a chart's rows, not bytes."""
    cache = make_region(valkey.url, max_result_rows=10)
    assert fate(cache, {"df": pd.DataFrame({"a": range(11)}), "query": "q"}) is Stored.TOO_LARGE
    assert fate(cache, {"df": pd.DataFrame({"a": range(10)}), "query": "q"}) is Stored.STORED
    assert fate(cache, {"df": None, "query": "q"}) is Stored.STORED


def test_some_of_many(valkey: Valkey) -> None:
    """Intent: what is refused does not take the rest with it."""
    cache = make_region(valkey.url)
    cache.set("bad", "old")
    assert cache.set_many({"good": 1, "bad": Response("x")}) == ["good"]
    assert cache.get_many("good", "bad") == [1, None]


@pytest.mark.parametrize(
    ("region", "timeout", "seconds"),
    [
        (Region.METADATA, None, 300),
        (Region.METADATA, DAY, 300),
        (Region.METADATA, 60, 60),
        (Region.METADATA, 0, 300),
        (Region.METADATA, -1, None),
        (Region.QUERY_RESULTS, None, 600),
        (Region.QUERY_RESULTS, DAY, DAY),
        (Region.QUERY_RESULTS, -1, 600),
        (Region.CHART_DATA, None, 900),
        (Region.CHART_DATA, DAY, DAY),
        (Region.CHART_DATA, 0, 0),
        (Region.CHART_DATA, -1, None),
        (Region.FILTER_STATE, None, 90 * DAY),
    ],
)
def test_timeouts(region: Region, timeout: int | None, seconds: int | None) -> None:
    """Intent: what each region makes of what Superset passes."""
    assert Policy(region, load({})).ttl_ms(timeout) == (None if seconds is None else seconds * 1000)


def test_a_cap_of_for_ever_is_none() -> None:
    """Intent: metadata's timeout 0 caps nothing."""
    policy = Policy(Region.METADATA, load({"SUPERSET_EXT_METADATA_TIMEOUT": "0"}))
    assert [policy.ttl_ms(timeout) for timeout in (None, 0, 60)] == [0, 0, 60_000]


def test_sql_lab_bytes_are_kept_as_they_are(valkey: Valkey) -> None:
    """Intent: Superset has compressed them already."""
    cache = make_region(valkey.url, Region.QUERY_RESULTS)
    blob = b"zlib" * 2000
    assert cache.set("k", blob)
    assert blob in (client_of(valkey.url, Region.QUERY_RESULTS).get("query_k") or b"")
    assert cache.get("k") == blob


def test_an_app_of_flask_makes_and_binds_it(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: the dotted CACHE_TYPE, and RESULTS_BACKEND made before there is an app."""
    from flask import Flask
    from flask_caching import Cache

    from superset_ext import settings

    for setting, text in {"REDIS_URL": valkey.url, **PATIENT}.items():
        monkeypatch.setenv(f"SUPERSET_EXT_{setting}", str(text))
    settings.current.cache_clear()
    results = RegionCache(Region.QUERY_RESULTS)
    app = Flask("t")
    app.config["SECRET_KEY"] = "a secret"
    cache = Cache()
    cache.init_app(app, {"CACHE_TYPE": "superset_ext.cache.region.RegionCache", "SUPERSET_EXT_REGION": "thumbnails"})
    with app.app_context():
        assert cache.set("k", {"image": b"x"})
        assert cache.get("k") == {"image": b"x"}
        assert results.set("r", b"rows")
        assert results.get("r") == b"rows"
    monkeypatch.undo()
    settings.current.cache_clear()

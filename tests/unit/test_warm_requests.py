"""What makes two chart requests one, and what of them may be kept, over all that Hypothesis thinks of."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superset_ext.warm.registry.requests import ChartRequest, Kind, kind_of, loaded, safe_args

FEW = settings(max_examples=100, deadline=None)
PATHS: dict[Kind, str] = {
    "data": "/api/v1/chart/data",
    "stored": "/api/v1/chart/7/data/",
    "explore": "/superset/explore_json/",
}
NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    SCALARS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(NAMES, inside, max_size=3),
    max_leaves=8,
)
FILTERS = st.lists(
    st.fixed_dictionaries({"col": NAMES, "op": st.sampled_from(["IN", "==", ">"]), "val": JSON}),
    min_size=2, max_size=4, unique_by=lambda value: json.dumps(value, sort_keys=True),
)  # fmt: skip
KINDS = st.sampled_from(sorted(PATHS))


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A body as a dashboard posts it, with some of everything that a request may hold."""
    query: dict[str, Any] = {
        "columns": draw(st.lists(NAMES, max_size=3)),
        "filters": draw(FILTERS),
        "extras": draw(JSON),
    }
    query["url_params"] = draw(st.dictionaries(NAMES, st.text(max_size=4), max_size=2))
    form: dict[str, Any] = {
        "slice_id": draw(st.integers(1, 9)),
        "dashboardId": draw(st.integers(1, 9)),
        "viz_type": draw(NAMES),
    }
    form["url_params"] = dict(query["url_params"])
    return {"datasource": {"id": 1, "type": "table"}, "force": False, "result_format": "json", "queries": [query],
            "form_data": form, "result_type": "full"}  # fmt: skip


def asked(body: Any, kind: Kind = "data", args: str = "") -> ChartRequest:
    return ChartRequest(kind, PATHS[kind], args, json.dumps(body))


def shuffled(value: Any, by: random.Random) -> Any:
    """The same JSON with the keys of all its objects in another order."""
    if isinstance(value, dict):
        pairs = list(value.items())
        by.shuffle(pairs)
        return {name: shuffled(part, by) for name, part in pairs}
    return [shuffled(part, by) for part in value] if isinstance(value, list) else value


@FEW
@given(body=bodies(), kind=KINDS, by=st.randoms(use_true_random=False))
def test_the_order_of_keys_is_nothing(body: dict[str, Any], kind: Kind, by: random.Random) -> None:
    """Intent: two browsers that write one request in two ways make one row, at any depth."""
    assert asked(body, kind).fingerprint() == asked(shuffled(body, by), kind).fingerprint()


@FEW
@given(body=bodies(), kind=KINDS, force=st.booleans(), form=st.sampled_from(["json", "csv", "xlsx"]), key=st.text())
def test_what_changes_no_answer_is_nothing(body: dict[str, Any], kind: Kind, force: bool, form: str, key: str) -> None:
    """Intent: forcing, the format of a download, colors of labels and what a page has stored for itself are not another
    request, wherever a browser writes them."""
    changed = json.loads(json.dumps(body))
    for place in (changed, changed["queries"][0], changed["form_data"]):
        place |= {"force": force, "result_format": form}
    for place in (changed["queries"][0], changed["form_data"]):
        place |= {"shared_label_colors": [key], "map_label_colors": {key: "#fff"}, "label_colors": {}}
        place["url_params"] |= {"native_filters_key": key, "permalink_key": key, "form_data_key": key}
    other = asked(changed, kind, f"force={force}&result_format={form}")
    assert asked(body, kind).fingerprint() == other.fingerprint()


@FEW
@given(body=bodies(), kind=KINDS, other=JSON, by=st.randoms(use_true_random=False))
def test_what_changes_the_answer_is_another_request(
    body: dict[str, Any], kind: Kind, other: Any, by: random.Random
) -> None:
    """Intent: Superset's key depends on the order of lists, so that warming a request in another order would
    fill another entry; another value or another dashboard is another request all the same."""
    first = asked(body, kind).fingerprint()
    turned, valued, moved = (json.loads(json.dumps(body)) for _ in range(3))
    turned["queries"][0]["filters"].reverse()
    assert asked(turned, kind).fingerprint() != first
    before = valued["queries"][0]["filters"][0]["val"]
    valued["queries"][0]["filters"][0]["val"] = other
    assert (asked(valued, kind).fingerprint() == first) is (json.dumps(before, sort_keys=True) == json.dumps(other, sort_keys=True))  # fmt: skip  # noqa: E501
    moved["form_data"]["dashboardId"] += 1
    assert asked(moved, kind).fingerprint() != first


def test_kind_path_and_arguments_are_part_of_a_request() -> None:
    """Intent: one body at two endpoints, or of two charts, is two requests; the order of arguments is nothing."""
    paths = [ChartRequest("stored", f"/api/v1/chart/{number}/data/") for number in (1, 2)]
    assert paths[0].fingerprint() != paths[1].fingerprint()
    assert ChartRequest("data", "/p", "", "{}").fingerprint() != ChartRequest("explore", "/p", "", "{}").fingerprint()
    one, other = (ChartRequest("explore", "/p", args) for args in ("a=1&b=2", "b=2&a=1"))
    assert one.fingerprint() == other.fingerprint() != ChartRequest("explore", "/p", "a=1&b=3").fingerprint()
    assert len(one.fingerprint()) == 32


def test_form_data_in_the_query_string_count_like_a_body() -> None:
    """Intent: an old chart's GET is one request however its form data are ordered, and filters in it are found."""
    one = ChartRequest("explore", PATHS["explore"], "form_data=%7B%22slice_id%22%3A1%2C%22since%22%3A%22%22%7D")
    other = ChartRequest("explore", PATHS["explore"], "form_data=%7B%22since%22%3A%22%22%2C%22slice_id%22%3A1%7D")
    assert one.fingerprint() == other.fingerprint()
    assert one.form_data() == {"slice_id": 1, "since": ""} and not one.has_literals()
    held = ChartRequest("explore", PATHS["explore"], "form_data=%7B%22where%22%3A%22name%3D'Ann'%22%7D")
    assert held.has_literals()


@FEW
@given(
    kept=st.dictionaries(NAMES.map(lambda name: f"x{name}"), st.text(min_size=1), max_size=3),
    name=st.sampled_from(["token", "guest_token", "password", "passwd", "csrf_token", "X-CSRF", "api_key", "apikey",
                          "jwt", "secret", "session", "ACCESS_TOKEN"]),
    value=st.text(min_size=1),
)  # fmt: skip
def test_credentials_in_the_query_string_are_dropped(kept: dict[str, str], name: str, value: str) -> None:
    """Intent: the registry holds nothing that somebody could log in with, and loses nothing else."""
    from urllib.parse import parse_qsl, urlencode

    safe = safe_args(urlencode([*kept.items(), (name, value), *kept.items()]))
    assert parse_qsl(safe) == [*kept.items(), *kept.items()]


TIMED = {"col": "ds", "op": "TEMPORAL_RANGE"}


@pytest.mark.parametrize(
    "query",
    [
        {"filters": [{"col": "name", "op": "IN", "val": ["Ann"]}]},
        {"filters": [{"col": "n", "op": "==", "val": 0}]},
        {"filters": [{**TIMED, "val": "2024-01-01 : 2024-02-01"}]},
        {"time_range": "2024-01-01 : now"},
        {"extras": {"where": "name = 'Ann'"}},
        {"extras": {"having": "count(*) > 3"}},
        {"filters": ["no condition that we know"]},
        {"since": "2024-01-01"},
        {"url_params": {"customer": "Ann"}},
    ],
)
def test_values_in_a_query_are_literals(query: dict[str, Any]) -> None:
    """Intent: whoever keeps no values keeps none of these."""
    assert asked({"queries": [{}, query]}).has_literals()


@pytest.mark.parametrize(
    "form",
    [
        {"adhoc_filters": [{"expressionType": "SQL", "sqlExpression": "name = 'Ann'", "clause": "WHERE"}]},
        {"adhoc_filters": [{"expressionType": "SIMPLE", "subject": "name", "operator": "==", "comparator": "Ann"}]},
        {"extra_form_data": {"filters": [{"col": "name", "op": "IN", "val": ["Ann"]}]}},
        {"extra_form_data": {"time_range": "2024-01-01 : 2024-02-01"}},
        {"extra_filters": [{"col": "name", "op": "in", "val": ["Ann"]}]},
        {"where": "name = 'Ann'"},
    ],
)
def test_values_in_form_data_are_literals(form: dict[str, Any]) -> None:
    """Intent: form data hold the same values once more; one that is only there counts."""
    assert asked({"queries": [], "form_data": form}).has_literals()
    assert asked(form, "explore").has_literals()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"filters": [], "extras": {"where": "", "having": ""}},
        {"time_range": "Last quarter"},
        {"time_range": "No filter"},
        {"time_range": "previous calendar month"},
        {"filters": [{**TIMED, "val": "Last quarter"}, {**TIMED, "val": "No filter"}]},
        {"filters": [{"col": "name", "op": "IS NOT NULL"}]},
        {"url_params": {"native_filters_key": "abc"}},
        {"columns": ["name"], "metrics": ["count"], "extras": {"time_grain_sqla": "P1D"}},
    ],
)
def test_a_request_without_values_has_none(query: dict[str, Any]) -> None:
    """Intent: keeping no values costs no warming of what has none; a relative time range says nothing."""
    form = {"adhoc_filters": [{**TIMED, "operator": "TEMPORAL_RANGE", "comparator": "No filter"}], "slice_id": 1}
    assert not asked({"queries": [query], "form_data": form}).has_literals()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/chart/data", "data"),
        ("/bi/api/v1/chart/data/", "data"),
        ("/api/v1/chart/12/data/", "stored"),
        ("/superset/explore_json/", "explore"),
        ("/bi/superset/explore_json/table/12/", "explore"),
        ("/api/v1/chart/data/qc-1", None),
        ("/api/v1/chart/12", None),
        ("/api/v1/chart/x/data/", None),
        ("/api/v1/dashboard/1/charts", None),
        ("/superset/explore_json_other/", None),
    ],
)
def test_paths_have_their_kind(path: str, kind: Kind | None) -> None:
    """Intent: a browser's request is known by its path, below any root; what fetches an async result is none."""
    assert kind_of(path) == kind


ODD = st.text(max_size=60) | JSON.map(json.dumps) | st.text('[]{}":,01eE-NaInfity\\u', max_size=30)


@settings(max_examples=300, deadline=None)
@given(kind=KINDS, body=ODD | bodies().map(json.dumps) | st.none(), args=ODD)
def test_nothing_that_a_browser_sends_raises(kind: Kind, body: str | None, args: str) -> None:
    """Intent: the fold of what all have asked does not stop at what one has sent."""
    for query in (args, f"form_data={args}", safe_args(args)):
        request = ChartRequest(kind, PATHS[kind], query, body)
        assert request.fingerprint() == request.fingerprint()
        assert request.has_literals() in (True, False)
        assert isinstance(request.form_data(), dict)


@FEW
@given(value=JSON)
def test_fields_of_any_shape_do_not_raise(value: Any) -> None:
    """Intent: a field that is a list where an object was meant, or the other way about, is nobody's error."""
    names = ("queries", "form_data", "filters", "adhoc_filters", "extra_form_data", "extras", "url_params",
             "time_range", "where")  # fmt: skip
    for name in names:
        for body in ({name: value}, {"queries": [{name: value}], "form_data": {name: value}}):
            for kind in PATHS:
                request = asked(body, kind)
                assert request.has_literals() in (True, False)
                assert request.fingerprint() == asked(body, kind).fingerprint()


@pytest.mark.parametrize("text", ["[" * 3000, '{"a":' * 3000, "[" * 3000 + "]" * 3000], ids=["lists", "keys", "closed"])
def test_brackets_without_end_do_not_raise(text: str) -> None:
    """Intent: three thousand brackets fit into a request line, and json gives up on them with a RecursionError."""
    assert loaded(text) == {}
    for request in (
        ChartRequest("stored", PATHS["stored"], f"x={text}"),
        ChartRequest("data", PATHS["data"], "", text),
    ):
        assert request.fingerprint() and request.has_literals() in (True, False)

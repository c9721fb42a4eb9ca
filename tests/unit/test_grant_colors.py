"""Label colors are left out of the key of a chart's request, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superset_ext.grants import colors

LABELS = ("shared_label_colors", "map_label_colors", "label_colors")
TEXT = st.text(alphabet='ab"\\[]{},:é \n', max_size=6)
COLORS = st.lists(TEXT, max_size=4) | st.dictionaries(TEXT, TEXT, max_size=3)
OTHERS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("x", "url_params", *LABELS)), inner),
    max_leaves=6,
)
FORMS = st.dictionaries(st.sampled_from(("slice_id", "url_params", "filters")), OTHERS)
BODIES = st.fixed_dictionaries({"queries": st.lists(OTHERS, max_size=2), "form_data": FORMS})


def text_of(asked: Any) -> bytes:
    """As JSON.stringify writes it."""
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()


@given(BODIES, st.dictionaries(st.sampled_from(LABELS), st.tuples(COLORS, COLORS)))
def test_colors_alone_make_no_other_request(body: dict[str, Any], shades: dict[str, Any]) -> None:
    """Intent: whatever labels and other parts are called, two requests that differ in colors have one key, and rows of
    their own in the log."""
    one, two = (
        text_of({**body, "form_data": {**body["form_data"], **{name: pair[side] for name, pair in shades.items()}}})
        for side in (0, 1)
    )
    assert colors.without(one) == colors.without(two)
    assert (colors.digest(one) == colors.digest(two)) == (one == two)


@given(BODIES, BODIES, st.data())
def test_what_is_the_same_without_colors_is_the_same(one: Any, other: Any, data: st.DataObject) -> None:
    """Intent: a body that has something under such a name elsewhere is granted nothing; where one is granted, each that
    has its key says the same but for the colors of its form data."""
    for body in (one, other):
        for name in data.draw(st.sets(st.sampled_from(LABELS))):
            body["form_data"][name] = data.draw(COLORS)
    first, second = text_of(one), text_of(other)
    if colors.is_apart(first) and colors.without(first) == colors.without(second):
        assert colors.is_apart(second)
        assert _colorless(one) == _colorless(other)


def _colorless(asked: Any) -> Any:
    form = {
        name: 0 if name in LABELS and isinstance(value, list | dict) else value
        for name, value in asked["form_data"].items()
    }
    return {**asked, "form_data": form}


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"form_data": {"url_params": {"label_colors": ["a"]}}},
        {"form_data": {}, "shared_label_colors": ["a"]},
        {"queries": [{"url_params": {"map_label_colors": {"a": "b"}}}], "form_data": {"map_label_colors": {"a": "b"}}},
        [{"label_colors": ["a"]}],
    ],
)
def test_a_template_may_read_them_elsewhere(elsewhere: Any) -> None:
    """Intent: `url_param('label_colors')` decides what is shown, and so does whatever has that name where it is not
    the form data's."""
    assert not colors.is_apart(text_of(elsewhere))


@pytest.mark.parametrize("value", [0, None, "~", {}, [0], [["a"]], {"a": 0}])
def test_another_value_of_that_name_is_another_request(value: Any) -> None:
    """Intent: nothing that somebody may send stands for the colors that are left out."""
    one, other = (text_of({"form_data": {"url_params": {"label_colors": shade}}}) for shade in (value, ["a"]))
    assert (colors.without(one) == colors.without(other)) == (value == {})
    assert not colors.is_apart(other) and colors.is_apart(one) == (value != {})


def test_a_text_that_looks_like_them_is_left_alone() -> None:
    """Intent: SQL in a request may have any words."""
    body = text_of({"form_data": {"where": '{"label_colors":["a"]}', "x": '\\","label_colors":["a"]'}})
    assert colors.without(body) == body
    assert colors.is_apart(body) and colors.digest(body) == ""


def test_what_is_no_json_is_granted_nothing() -> None:
    """Intent: Superset refuses it, and says so."""
    assert not colors.is_apart(b'{"label_colors":["a"]')


def test_the_log_has_the_colors_of_each_request() -> None:
    """Intent: rows of `logs` say what was asked, with the colors of the one who has asked."""
    record = {"action": "data", "json": json.dumps({"path": "/", "form_data": {"label_colors": {"a": "1"}, "x": 2}})}
    form = {"label_colors": {"b": "3"}, "x": 2}
    (row,) = colors.renewed([record], text_of({"form_data": form}))
    assert json.loads(row["json"]) == {"path": "/", "form_data": form}
    assert "1" in record["json"]

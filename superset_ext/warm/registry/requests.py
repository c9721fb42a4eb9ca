"""A chart data request as it came, and what makes two of them the same.

Two requests are one when they differ only in what changes no answer: the order of JSON keys, whether fresh data was
asked for, the format of the download, and the colors of labels. The order of lists stays, because Superset's cache key
depends on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

Kind = Literal["data", "stored", "explore"]
# Flask's endpoints that answer with chart data, and the paths at which a browser finds them.
ENDPOINTS: Mapping[str, Kind] = {
    "ChartDataRestApi.data": "data",
    "ChartDataRestApi.get_data": "stored",
    "Superset.explore_json": "explore",
}
_PATHS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r".*/api/v1/chart/data/?"), "data"),
    (re.compile(r".*/api/v1/chart/\d+/data/?"), "stored"),
    (re.compile(r".*/superset/explore_json(/[^/]+/\d+)?/?"), "explore"),
)
# The last three are written anew by the browser whenever an owner opens a dashboard, from the labels that it shows.
_SAME_ANSWER = frozenset({"force", "result_format", "label_colors", "map_label_colors", "shared_label_colors"})
# Parameters under which a page has stored something for itself, new at each visit.
_OF_THE_PAGE = frozenset({"native_filters_key", "permalink_key", "form_data_key"})
_CREDENTIALS = re.compile(r"token|passw|secret|csrf|jwt|api_?key|session", re.IGNORECASE)
_RELATIVE = re.compile(r"no filter|last .*|previous .*|current .*|next .*", re.IGNORECASE)
_NOT_JSON = (ValueError, RecursionError)  # the latter for text that nests deeper than Python follows
_EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """A request for chart data, whole.

    Attributes:
        kind: which endpoint answers it.
        path: its path, below the application's root.
        args: its query string, without what could be a credential.
        body: its JSON; empty where it has none, `None` where its values are not to be kept.
        is_form: whether the JSON came as the form field `form_data`.
    """

    kind: Kind
    path: str
    args: str = ""
    body: str | None = ""
    is_form: bool = False

    def fingerprint(self) -> str:
        """32 hexadecimal digits, the same for requests that get the same answer."""
        args = sorted((name, _canonical(value)) for name, value in parse_qsl(self.args) if name not in _SAME_ANSWER)
        parts = (self.kind, self.path, args, _canonical(self.body or ""))
        return sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def form_data(self) -> dict[str, Any]:
        """The form data that name chart and dashboard; empty where it has none."""
        body = loaded(self.body or "")
        if self.kind == "explore":
            return loaded(dict(parse_qsl(self.args)).get("form_data", "")) | body
        inner = body.get("form_data")
        return inner if isinstance(inner, dict) else {}

    def queries(self) -> list[dict[str, Any]]:
        """The query objects of its body; the form data of an old chart are its one query."""
        if self.kind == "explore":
            return [self.form_data()]
        queries = loaded(self.body or "").get("queries") if self.kind == "data" else None
        return [query for query in queries if isinstance(query, dict)] if isinstance(queries, list) else []

    def has_literals(self) -> bool:
        """Whether it holds filter values or conditions; a relative time range is none, because it says nothing."""
        body = loaded(self.body or "")
        return any(_holds_literals(part) for part in (*self.queries(), self.form_data(), body))


def kind_of(path: str) -> Kind | None:
    """The kind of a path, or `None` if it is not one of chart data."""
    return next((kind for pattern, kind in _PATHS if pattern.fullmatch(path)), None)


@lru_cache(maxsize=256)
def safe_args(query: str) -> str:
    """A query string without what could be a credential."""
    return urlencode([(name, value) for name, value in parse_qsl(query) if not _CREDENTIALS.search(name)])


def loaded(text: str) -> dict[str, Any]:
    """A JSON object; empty where the text is none."""
    try:
        value = json.loads(text)
    except _NOT_JSON:
        return {}
    return value if isinstance(value, dict) else {}


def _canonical(text: str) -> str:
    """JSON with its keys in order and without what changes no answer; other text as it is."""
    try:
        return json.dumps(_stripped(json.loads(text)), sort_keys=True, separators=(",", ":"))
    except _NOT_JSON:
        return text


def _stripped(value: Any) -> Any:
    """A body without what changes no answer, in itself, its queries and its form data."""
    if not isinstance(value, dict):
        return value
    kept = {name: part for name, part in value.items() if name not in _SAME_ANSWER}
    for name in kept.keys() & {"form_data", "queries"}:
        part = kept[name]
        kept[name] = [_stripped(query) for query in part] if isinstance(part, list) else _stripped(part)
    if "url_params" in kept:
        kept["url_params"] = _without_page(kept["url_params"])
    return kept


def _without_page(parameters: Any) -> Any:
    if not isinstance(parameters, dict):
        return parameters
    return {name: value for name, value in parameters.items() if name not in _OF_THE_PAGE}


def _holds_literals(part: Mapping[str, Any]) -> bool:
    extra = part.get("extra_form_data")
    extra = extra if isinstance(extra, dict) else {}
    if any(value not in _EMPTY for value in _conditions(part)):
        return True
    if _is_absolute(part.get("time_range")) or _is_absolute(extra.get("time_range")):
        return True
    lists = [part.get(name) for name in ("filters", "adhoc_filters", "extra_filters")]
    lists += [extra.get("filters"), extra.get("adhoc_filters")]
    return any(_is_literal(condition) for filters in lists if isinstance(filters, list) for condition in filters)


def _conditions(part: Mapping[str, Any]) -> list[Any]:
    """What is a condition if there is anything in it."""
    extras = part.get("extras")
    inner = [extras.get("where"), extras.get("having")] if isinstance(extras, dict) else []
    plain = [part.get(name) for name in ("where", "having", "since", "until")]
    return [*inner, *plain, _without_page(part.get("url_params"))]


def _is_literal(condition: Any) -> bool:
    if not isinstance(condition, dict):
        return True
    values = [condition.get(name) for name in ("val", "comparator", "sqlExpression")]
    if condition.get("op", condition.get("operator")) == "TEMPORAL_RANGE":
        return any(_is_absolute(value) for value in values)
    return any(value not in _EMPTY for value in values)


def _is_absolute(value: Any) -> bool:
    return value not in _EMPTY and not (isinstance(value, str) and _RELATIVE.fullmatch(value))

"""A chart data request as it came, and what makes two of them the same.

Two requests are one when they differ only in what changes no answer: the order of JSON keys, whether
fresh data was asked for, and the format of the download. The order of lists stays, since Superset's
cache key depends on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

Kind = Literal["data", "stored", "explore"]
# Flask's endpoints that answer with chart data, and the paths that a browser asks them by.
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
_SAME_ANSWER = frozenset({"force", "result_format"})
# Names of what the page has stored for itself, new at each visit.
_PAGE_S_OWN = frozenset({"native_filters_key", "permalink_key", "form_data_key"})
_CREDENTIALS = re.compile(r"token|passw|secret|csrf|jwt|api_?key|session", re.IGNORECASE)
_RELATIVE = re.compile(r"no filter|last .*|previous .*|current .*|next .*", re.IGNORECASE)
_NO_JSON = (ValueError, RecursionError)  # the latter for text that nests deeper than Python follows
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
        """The form data that names chart and dashboard; empty where it has none."""
        body = loaded(self.body or "")
        if self.kind == "explore":
            return loaded(dict(parse_qsl(self.args)).get("form_data", "")) | body
        inner = body.get("form_data")
        return inner if isinstance(inner, dict) else {}

    def queries(self) -> list[dict[str, Any]]:
        """The query objects of its body; of an old chart the form data are the one query."""
        body = loaded(self.body or "")
        found = body.get("queries", []) if self.kind == "data" else [self.form_data()] if self.kind == "explore" else []
        return [query for query in found if isinstance(query, dict)] if isinstance(found, list) else []

    def has_literals(self) -> bool:
        """Whether it holds filter values or conditions; a relative time range is none, for it says nothing."""
        body = loaded(self.body or "")
        return any(_holds_literals(part) for part in (*self.queries(), self.form_data(), body))


def kind_of(path: str) -> Kind | None:
    """Which kind a path is of, if it is one of chart data."""
    return next((kind for pattern, kind in _PATHS if pattern.fullmatch(path)), None)


def safe_args(query: str) -> str:
    """A query string without what could be a credential."""
    return urlencode([(name, value) for name, value in parse_qsl(query) if not _CREDENTIALS.search(name)])


def loaded(text: str) -> dict[str, Any]:
    """A JSON object; empty where the text is none."""
    try:
        found = json.loads(text)
    except _NO_JSON:
        return {}
    return found if isinstance(found, dict) else {}


def _canonical(text: str) -> str:
    """JSON with its keys in order and without what changes no answer; other text as it is."""
    try:
        return json.dumps(_stripped(json.loads(text)), sort_keys=True, separators=(",", ":"))
    except _NO_JSON:
        return text


def _stripped(value: Any) -> Any:
    """Without what changes no answer, of the body, its queries and its form data."""
    if not isinstance(value, dict):
        return value
    kept = {name: each for name, each in value.items() if name not in _SAME_ANSWER}
    for name in kept.keys() & {"form_data", "queries", "url_params"}:
        found = kept[name]
        if name == "url_params":
            kept[name] = _without_page(found)
        else:
            kept[name] = [_stripped(each) for each in found] if isinstance(found, list) else _stripped(found)
    return kept


def _without_page(parameters: Any) -> Any:
    if not isinstance(parameters, dict):
        return parameters
    return {name: each for name, each in parameters.items() if name not in _PAGE_S_OWN}


def _holds_literals(part: Mapping[str, Any]) -> bool:
    extras = part.get("extras")
    conditions = [extras.get("where"), extras.get("having")] if isinstance(extras, dict) else []
    plain = [part.get(name) for name in ("where", "having", "since", "until")]
    plain.append(_without_page(part.get("url_params")))
    if any(value not in _EMPTY for value in (*conditions, *plain)):
        return True
    extra = part.get("extra_form_data")
    extra = extra if isinstance(extra, dict) else {}
    if _is_absolute(part.get("time_range")) or _is_absolute(extra.get("time_range")):
        return True
    lists = [part.get(name) for name in ("filters", "adhoc_filters", "extra_filters")]
    lists += [extra.get("filters"), extra.get("adhoc_filters")]
    return any(_is_literal(each) for found in lists if isinstance(found, list) for each in found)


def _is_literal(condition: Any) -> bool:
    if not isinstance(condition, dict):
        return True
    values = [condition.get(name) for name in ("val", "comparator", "sqlExpression")]
    if condition.get("op", condition.get("operator")) == "TEMPORAL_RANGE":
        return any(_is_absolute(value) for value in values)
    return any(value not in _EMPTY for value in values)


def _is_absolute(value: Any) -> bool:
    return value not in _EMPTY and not (isinstance(value, str) and _RELATIVE.fullmatch(value))

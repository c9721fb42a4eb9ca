"""Why an answer is not granted again, although all of it was in the cache.

What cannot be known is refused: templates that ask for more than the key has, sources whose rights are checked inside
of the query, and answers that are more than bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from flask import Flask, Response, request
from jinja2 import Environment, TemplateError, meta, nodes

from superset_ext.cache.used import Used
from superset_ext.host.granting import event_logger, is_enabled, makes_own_records, rule_clauses
from superset_ext.host.nested import JINJA, SUBQUERY
from superset_ext.host.sharing import is_mutated, texts

OK = 200
# What templates may ask: it is in the key, in the request, or on the metadata database.
_KNOWN = frozenset(
    {
        "current_user_id", "current_username", "current_user_email", "current_user_roles", "current_user_rls_rules",
        "get_guest_user_attribute", "url_param", "filter_values", "get_filters", "columns", "groupby", "metrics",
        "row_limit", "row_offset", "filter", "time_column", "time_grain", "table_columns", "from_dttm", "to_dttm",
    }
)  # fmt: skip
_TYPES = ("full", "results")
# What would be refused in the end. Who writes it in another way is found out later.
_WORDS = (("force", "true"), ("result_format", '"csv"'), ("result_format", '"xlsx"'), ("result_type", '"samples"'))
_HOPELESS = tuple(f'"{name}":{gap}{value}'.encode() for name, value in _WORDS for gap in ("", " "))
_FORCED = ("force=true", "csv=true")
_jinja = Environment()  # noqa: S701  (it parses, and renders nothing)


def of_app(app: Flask) -> str | None:
    """Why nothing is granted in an app; `None` where something may be."""
    flags = app.config.get("GET_FEATURE_FLAGS_FUNC"), app.config.get("IS_FEATURE_ENABLED_FUNC")
    if any(flags):
        return "feature flags are asked of a function"
    if is_mutated():
        return "SQL_QUERY_MUTATOR may ask anything"
    if is_enabled("GLOBAL_ASYNC_QUERIES"):
        return "charts are asynchronous"
    if makes_own_records(event_logger()):
        return "EVENT_LOGGER makes its own records"
    return None


def is_hopeless() -> bool:
    """Whether the current request is surely refused, as far as its bytes tell: nothing is done for it then."""
    query = request.environ.get("QUERY_STRING") or ""
    if any(word in query for word in _FORCED):
        return True
    if not request.is_json:
        return False
    body = request.get_data()
    return any(words in body for words in _HOPELESS)


def of_response(response: Response) -> str | None:
    """Why a response is not given again; `None` where it may be."""
    if response.status_code != OK or response.is_streamed:
        return f"status {response.status_code}"
    if response.mimetype != "application/json":
        return "a download"
    if "Set-Cookie" in response.headers:
        return "it sets a cookie"
    return None


def of_used(app: Flask, used: Used) -> tuple[str | None, bool]:
    """Why an answer is not granted that was made of this, `None` where it may be, and whether its keys may move.

    Keys move where they may have something of the bounds of a time range, beside its words.
    """
    if why := used.spoiled or _of_sources(used) or _of_types(used.queries):
        return why, False
    parts = list(filter(None, _texts(used)))
    return _of_templates(app, parts), any(JINJA.search(text) or SUBQUERY.search(text) for text in parts)


def _of_sources(used: Used) -> str | None:
    if not used.entries:
        return "nothing of it was in the cache"
    for source in used.sources:
        if getattr(source, "type", None) != "table":
            return "a source that is no dataset"
        if source.database.backend == "superset":
            return "a source that checks rights itself"
    return None


def _of_types(queries: Iterable[Any]) -> str | None:
    kinds = {str(getattr(query, "result_type", None) or "full") for query in queries}
    other = sorted(kinds - set(_TYPES))
    return f"results of the type {other[0]}" if other else None


def _of_templates(app: Flask, parts: Iterable[str]) -> str | None:
    templates = [text for text in parts if JINJA.search(text)]
    # Superset puts its own processors into the setting, too.
    processors = (app.config.get("CUSTOM_TEMPLATE_PROCESSORS") or {}).values()
    if templates and not all(kind.__module__.startswith("superset.") for kind in processors):
        return "templates of a processor of its own"
    known = _KNOWN - set(app.config.get("JINJA_CONTEXT_ADDONS") or {})
    return next((why for text in templates if (why := _of_template(text, known))), None)


@lru_cache(maxsize=512)  # to parse one takes as long as all else that is looked at
def _of_template(text: str, known: frozenset[str]) -> str | None:
    try:
        parsed = _jinja.parse(text)
        names = meta.find_undeclared_variables(parsed)
    except TemplateError:
        return "a template that does not parse"
    if any(part.name == "random" for part in parsed.find_all(nodes.Filter)):
        return "a template draws by chance"
    unknown = sorted(names - known)
    return f"a template asks {unknown[0]}" if unknown else None


def _texts(used: Used) -> Iterator[str]:
    """All text that was asked, and all that Superset may render of the datasets."""
    own = list(_asked(used))
    yield from own
    for source in used.sources:
        yield from texts(source)
    if any(source.sql for source in used.sources) or any(map(SUBQUERY.search, own)):
        # Superset puts the rules of each table in such SQL into it, whosever dataset they belong to.
        yield from rule_clauses()


def _asked(used: Used) -> Iterator[str]:
    for query in used.queries:
        to_dict = getattr(query, "to_dict", None)
        yield from _strings(to_dict() if to_dict else getattr(query, "form_data", None))
    for source in used.sources:
        yield from (part.expression or "" for part in (*source.columns, *source.metrics))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)

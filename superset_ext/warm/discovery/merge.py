"""A chart's saved query context with what a dashboard's filters add, in the order in which a browser puts them.

Superset's browser builds the context anew at each visit (`buildQueryObject`): a filter's conditions come before the
chart's own, its free-form SQL after them. What is saved was built by the same code without a dashboard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# What an `extra_form_data` overrides in a query, and under which name.
_OVERRIDES = {
    "granularity": "granularity", "granularity_sqla": "granularity", "time_column": "time_column",
    "time_grain": "time_grain", "time_range": "time_range", "time_compare": "time_compare",
    "visible_deckgl_layers": "visible_deckgl_layers",
}  # fmt: skip
_EXTRAS = ("relative_start", "relative_end", "time_grain_sqla")
_GRAIN = "time_grain_sqla"


def with_filters(query: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A query of a saved context, as a browser asks it on a dashboard whose filters add `extra`."""
    added = [one for one in extra.get("adhoc_filters") or () if isinstance(one, Mapping)]
    result = dict(query)
    result["filters"] = [*(extra.get("filters") or ()), *(query.get("filters") or ()), *_simple(added)]
    result["extras"] = _extras(query.get("extras") or {}, added, extra)
    result |= {name: extra[key] for key, name in _OVERRIDES.items() if key in extra}
    if _GRAIN in extra and isinstance(query.get("columns"), list):
        result["columns"] = [_on_axis(column, extra[_GRAIN]) for column in query["columns"]]
    return result


def _simple(added: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those that are a column, an operator and a value; a browser drops them where they are of HAVING."""
    simple = [one for one in added if one.get("expressionType") == "SIMPLE" and one.get("clause") == "WHERE"]
    return [_condition(one) for one in simple]


def _condition(one: Mapping[str, Any]) -> dict[str, Any]:
    condition = {"col": one.get("subject"), "op": one.get("operator")}
    return condition | ({"val": one["comparator"]} if "comparator" in one else {})


def _extras(extras: Mapping[str, Any], added: Iterable[Mapping[str, Any]], extra: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(extras) | {name: extra[name] for name in _EXTRAS if name in extra}
    for clause in ("where", "having"):
        own = [_in_brackets(str(one["sqlExpression"])) for one in added if _is_of(clause, one)]
        if own:
            result[clause] = " AND ".join([*filter(None, [result.get(clause)]), *own])
    return result


def _is_of(clause: str, one: Mapping[str, Any]) -> bool:
    is_where = one.get("clause") == "WHERE"
    return one.get("expressionType") != "SIMPLE" and bool(one.get("sqlExpression")) and is_where == (clause == "where")


def _in_brackets(sql: str) -> str:
    """As a browser writes it: a comment must not swallow the bracket."""
    return f"({sql}\n)" if "--" in sql else f"({sql})"


def _on_axis(column: Any, grain: Any) -> Any:
    """A column on the time axis has the grain of the query."""
    is_axis = isinstance(column, Mapping) and column.get("columnType") == "BASE_AXIS"
    return {**column, "timeGrain": grain} if is_axis else column

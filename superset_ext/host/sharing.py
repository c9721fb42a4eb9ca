"""Who may share an answer: what the SQL of a query says beyond Superset's own cache key.

Superset's key has the row-level rules and the Jinja values of the dataset that a chart asks. It
leaves out what that dataset reads in turn: a nested `{{ dataset(X) }}` or `{{ metric(…) }}` with rules
or user functions of its own, a subquery in an ad-hoc expression, a chart used as an annotation layer,
and what `SQL_QUERY_MUTATOR` adds. So two users with different rights get one key, and the second one
is shown the first one's rows.

The rules of the tables in a virtual dataset's SQL are in the key without their tables: two users with one clause, each
on another table, have one key too.

Here the key takes a digest of the SQL that would run for this user, wherever that SQL may depend on
the user in a way that the key does not show, and the cache key of each annotation chart. What cannot
be computed is keyed by the user, and is shared with nobody.

Superset also orders some parts of the key by the hash seed of its process; here they are sorted, so
that web servers and workers agree.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import wraps
from typing import Any

from superset_ext.host import nested
from superset_ext.host.moment import moment, rights_of
from superset_ext.host.nested import JINJA, SUBQUERY
from superset_ext.host.people import identity
from superset_ext.host.remembered import tables_of
from superset_ext.host.windows import refused

# The time of day in a literal: a relative range such as "now" is resolved anew for each request.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?")
_MIDNIGHT = re.compile(r"[T ]00:00:00(?:\.0+)?$")
# Stand for the bounds of the chart's own time range, which Superset's key has as they were written.
_BOUNDS = {
    "from_dttm": datetime(2001, 1, 1),
    "to_dttm": datetime(2001, 1, 2),
    "inner_from_dttm": datetime(2001, 1, 1),
    "inner_to_dttm": datetime(2001, 1, 2),
}
_charts: ContextVar[tuple[int, ...]] = ContextVar("superset_ext_annotation_charts", default=())


def dataset_keys(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `get_extra_cache_keys` of a datasource."""

    @wraps(stock)
    def get_extra_cache_keys(self: Any, query_obj: Any) -> list[Hashable]:
        with moment(), nested.tokens():
            own = stock(self, query_obj)
            keys = [*own, *_sql_key(self, query_obj, bool(own))]
        return sorted(set(keys), key=lambda key: (type(key).__name__, repr(key)))

    return get_extra_cache_keys


def annotation_keys(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `QueryContextProcessor.query_cache_key`."""

    @wraps(stock)
    def query_cache_key(self: Any, query_obj: Any, **kwargs: Any) -> Any:
        layers = [layer for layer in getattr(query_obj, "annotation_layers", None) or () if _is_chart(layer)]
        with moment(known=rights_of(self._query_context)):
            if layers:
                kwargs["superset_ext_annotations"] = [_chart_key(layer) for layer in layers]
            return stock(self, query_obj, **kwargs)

    return query_cache_key


def _sql_key(datasource: Any, query_obj: Mapping[str, Any], has_own: bool) -> list[str]:
    """A digest of the SQL that would run for this user, where it may depend on more than the key has.

    Args:
        has_own: whether Superset's key has something of this user, such as the rules of the tables in the SQL.
    """
    try:
        if datasource.database.backend == "superset":
            # It checks the table rights of whoever asks, inside of the query; rights may be revoked.
            return [identity(), *refused(_sql(datasource, _bounded(query_obj)))]
        if not (has_own and datasource.sql) and not _may_depend(datasource, query_obj):
            return []
        sql, moving = _stable(_read(datasource, query_obj))
    except Exception as error:  # noqa: BLE001  (templates and mutators are other people's code)
        return [f"{type(error).__name__} {identity()}"]
    return [_digest(sql), *([identity()] if moving else [])]


def _may_depend(datasource: Any, query_obj: Mapping[str, Any]) -> bool:
    # Rules of the tables in its SQL apply to a query of SQL Lab as well, and its key has none of them.
    if is_mutated() or datasource.type == "query":
        return True
    asked = json.dumps(query_obj, default=str)
    return (
        bool(JINJA.search(asked))
        or bool(SUBQUERY.search(asked))
        or any(JINJA.search(text) for text in texts(datasource))
    )


def texts(datasource: Any) -> Iterable[str]:
    """All of a datasource that Superset renders as a template."""
    from superset_ext.host.services import security_manager

    yield datasource.sql or ""
    yield from _expressions(datasource)
    if datasource.is_rls_supported:
        yield from (rule.clause for rule in security_manager.get_rls_filters(datasource))
    yield from (str(rule["clause"]) for rule in security_manager.get_guest_rls_filters(datasource))


def _expressions(datasource: Any, query: str | None = None) -> Iterable[str]:
    """What else of a datasource is SQL; of columns and metrics those alone whose names are in a query's JSON."""
    yield getattr(datasource, "fetch_values_predicate", None) or ""
    metrics = getattr(datasource, "metrics", ())
    named = [(column.column_name, column) for column in datasource.columns]
    for name, part in (*named, *((metric.metric_name, metric) for metric in metrics)):
        expression = getattr(part, "expression", None)
        if expression and (query is None or json.dumps(name)[1:-1] in query):
            yield expression


def _read(datasource: Any, query_obj: Mapping[str, Any]) -> str:
    """The SQL that would run for this user, or all of it that depends on more than the query asks."""
    bounded = _bounded(query_obj)
    with nested.tokens() as within:
        own = _parts(datasource, bounded) if _is_plain(datasource, query_obj) else _sql(datasource, bounded)
    if not within.texts:
        return own
    return json.dumps([own, within.texts, nested.predicates(datasource, within.tables)])


def _bounded(query_obj: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _BOUNDS[name] if name in _BOUNDS and value else value for name, value in query_obj.items()}


def _is_plain(datasource: Any, query_obj: Mapping[str, Any]) -> bool:
    """Whether nothing but its SQL and its rules are templates, and no expression has tables of its own."""
    if is_mutated() or datasource.type != "table" or query_obj.get("series_limit"):
        return False
    query = json.dumps(query_obj, default=str)
    texts = (query, *_expressions(datasource, f"{query} {json.dumps(datasource.main_dttm_col)}"))
    return not any(JINJA.search(text) or SUBQUERY.search(text) for text in texts)


def _parts(datasource: Any, bounded: Mapping[str, Any]) -> str:
    """What the SQL of such a datasource is made of, beside the query."""
    processor = datasource.get_template_processor(**nested.template_arguments(datasource, bounded))
    sql = nested.rendered(datasource, processor)
    tables = tables_of(sql, datasource.db_engine_spec.engine) if sql else ()
    return json.dumps([sql, nested.row_level(datasource, processor), nested.predicates(datasource, tables)])


def _sql(datasource: Any, bounded: dict[str, Any]) -> str:
    own = ""
    if bounded.get("series_limit") and not datasource.db_engine_spec.allows_joins:
        # The groups would be a query of their own, sent now; what chooses them is then not in the SQL.
        bounded["series_limit"], own = None, identity()
    extended = datasource.get_query_str_extended(bounded)
    return _bare(datasource.database, ";".join((*extended.prequeries, extended.sql))) + own


def _bare(database: Any, sql: str) -> str:
    """The SQL that is sent. Where a mutator has changed it, its comments go: many name the user, and choose no rows."""
    if not is_mutated():
        return sql
    from sqlglot.dialects.dialect import Dialect
    from superset.sql.parse import SQLGLOT_DIALECTS

    sent = database.mutate_sql_based_on_config(sql, is_split=True)
    tokens = Dialect.get_or_raise(SQLGLOT_DIALECTS.get(database.backend)).tokenize(sent)
    return json.dumps([(token.token_type.name, token.text) for token in tokens])


def is_mutated() -> bool:
    """Whether somebody has set `SQL_QUERY_MUTATOR`; Superset's own does nothing."""
    from flask import current_app

    mutator = current_app.config["SQL_QUERY_MUTATOR"]
    return bool(mutator) and getattr(mutator, "__module__", None) != "superset.config"


def _stable(sql: str) -> tuple[str, bool]:
    """The SQL without the moments in it that are no midnight, and whether there were any.

    Such a moment is most likely "now". A key that has it would never be found again.
    """
    stable = _MOMENT.sub(lambda moment: moment[0] if _MIDNIGHT.search(moment[0]) else "?", sql)
    return stable, stable != sql


def _is_chart(layer: Any) -> bool:
    return isinstance(layer, dict) and layer.get("sourceType") in ("line", "table")


def _chart_key(layer: Mapping[str, Any]) -> str:
    """What the annotation's chart would be cached under for this user; it says whose rows it shows."""
    try:
        number = int(layer["value"])
        above = _charts.get()
        if number in above:
            return f"chart {number} shows itself"
        token = _charts.set((*above, number))
        try:
            return _digest(json.dumps(_keys_of_chart(number), default=str))
        finally:
            _charts.reset(token)
    except Exception as error:  # noqa: BLE001  (a refusal is one: who may not see the chart shares with nobody)
        return f"{type(error).__name__} {identity()}"


def _keys_of_chart(number: int) -> list[Any]:
    """The chart's keys, found as `get_viz_annotation_data` finds its answer: with the rights of whoever asks.

    They hold what is asked, and not all of what is made of the rows: so the chart's definition goes with them.
    """
    from superset.daos.chart import ChartDAO
    from superset.views.utils import get_viz
    from superset.viz import viz_types

    chart = ChartDAO.find_by_id(number)
    if chart is None:
        return [identity()]
    if chart.viz_type in viz_types:
        viz = get_viz(
            datasource_type=chart.datasource.type, datasource_id=chart.datasource.id, form_data=chart.form_data
        )
        return [viz.cache_key(viz.query_obj()), chart.viz_type, chart.params]
    context = chart.get_query_context()
    context.raise_for_access()
    return [*(_key_within(context.datasource, query) for query in context.queries), chart.query_context]


def _key_within(datasource: Any, query: Any) -> str:
    """What a query of an annotation's chart would be cached under, where no more than who may share it matters.

    What templates give Superset's key by calls of their own is in the SQL too, of which this has a digest.
    """
    from superset_ext.host.services import security_manager

    layers = [_chart_key(layer) for layer in query.annotation_layers or () if _is_chart(layer)]
    with nested.tokens():
        own = _sql_key(datasource, query.to_dict(), has_own=True)
    rules = security_manager.get_rls_cache_key(datasource)
    key = query.cache_key(
        datasource=datasource.uid, extra_cache_keys=own, rls=rules, changed_on=datasource.changed_on, layers=layers
    )
    return str(key)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

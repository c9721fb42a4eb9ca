"""A chart's query, as Superset's processor and its old `BaseViz` run it: with its scope, and without `force`.

The macros that nest one dataset in another note which one that is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from superset_ext.cache import used
from superset_ext.cache.query import Query, note_opened, running
from superset_ext.core.signals import count_failure
from superset_ext.events import Miss, Outcome, Scope
from superset_ext.host import nested
from superset_ext.host.known_since import date_back
from superset_ext.host.scope import id_of, is_fetch, scope_of, shown_by
from superset_ext.settings import Region


def of_context(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df_payload(self: Any, query_obj: Any, force_cached: bool | None = False) -> Any:
        context = self._query_context
        scope = _scope(context, context.form_data, bool(context.force), bool(force_cached))
        shown = shown_by(getattr(query_obj, "annotation_layers", None))
        used.note_query(query_obj)
        with running(scope, context.datasource, shown) as query, _attributes(context, force=False):
            date_back(query)
            return _counted(query, lambda: stock(self, query_obj, bool(force_cached) and not is_fetch()))

    return get_df_payload


def of_viz(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def get_df_payload(self: Any, query_obj: Any = None, **kwargs: Any) -> Any:
        scope = _scope(self, self.form_data, bool(self.force), bool(self.force_cached))
        cached = bool(self.force_cached) and not is_fetch()
        shown = shown_by(self.form_data.get("annotation_layers"))
        used.note_query(self)
        with running(scope, self.datasource, shown) as query, _attributes(self, force=False, _force_cached=cached):
            date_back(query)
            return _counted(query, lambda: stock(self, query_obj, **kwargs))

    return get_df_payload


def _scope(holder: Any, form_data: Any, forced: bool, force_cached: bool) -> Scope:
    """The scope of a chart query; one that cannot be made out costs the answer its row in the log, nothing else."""
    try:
        return scope_of(holder, form_data, forced, force_cached)
    except Exception as error:  # noqa: BLE001  (somebody waits for the answer)
        count_failure("making out the scope of a query", error)
        return Scope(forced=forced, counted=False)


def _counted(query: Query, run: Callable[[], Any]) -> Any:
    """Run a chart query; one that never asked the cache, because its timeout is -1, is a miss all the same."""
    started = time.perf_counter()
    payload = run()
    if not query.gets and payload.get("cache_key"):
        took = (time.perf_counter() - started) * 1000
        event = Outcome(Region.CHART_DATA, Miss.DISABLED, took, scope=query.scope)
        query.keep(payload["cache_key"], event)
    return payload


def _note_dataset(dataset_id: Any) -> None:
    """Note a dataset that a macro names; without a number it is the chart's own."""
    number = id_of(dataset_id)
    if number is not None:
        note_opened("dataset", number)


def dataset_macro(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def dataset_macro(
        dataset_id: int, include_metrics: bool = False, columns: Any = None, from_dttm: Any = None, to_dttm: Any = None
    ) -> Any:
        _note_dataset(dataset_id)
        return nested.macro(stock, dataset_id, include_metrics, columns, from_dttm, to_dttm)

    return dataset_macro


def metric_macro(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def metric_macro(env: Any, context: Any, metric_key: str, dataset_id: int | None = None) -> Any:
        _note_dataset(dataset_id)
        return stock(env, context, metric_key, dataset_id)

    return metric_macro


@contextmanager
def _attributes(target: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(target, name) for name in values}
    try:
        for name, value in values.items():
            setattr(target, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)

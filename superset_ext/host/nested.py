"""What datasets nested by `{{ dataset(X) }}` read for this user, without making their SQL.

While a key is made, the macro puts a short token into the SQL in place of X's own, and notes beside it all of which X's
SQL is made: its definition, its SQL as its template is rendered now, and the row-level rules of itself and of each
table in it. X may nest others in turn. Superset also puts the rules of the tables within X into the outer SQL, looked
up as the outer dataset would; so these are noted as well.

Where a subquery in a rule or in a column could name further tables, X's own SQL is made after all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from superset_ext.host.remembered import tables_of

JINJA = re.compile(r"\{[{%#]")
SUBQUERY = re.compile(r"\bselect\b", re.IGNORECASE)
_MACRO = re.compile(r"\b(dataset|metric)\b")


class _NotPlain(Exception):
    """A dataset whose SQL is more than its parts."""


@dataclass(slots=True)
class Nested:
    """What macros named while SQL was made.

    Attributes:
        texts: what each one reads, as text.
        tables: the tables in their SQL, named as there.
        made: token, text and tables by the macro's arguments.
    """

    texts: list[str] = field(default_factory=list)
    tables: set[Any] = field(default_factory=set)
    made: dict[Any, tuple[str, str, set[Any]]] = field(default_factory=dict)


_nested: ContextVar[Nested | None] = ContextVar("superset_ext_nested", default=None)


@contextmanager
def tokens() -> Iterator[Nested]:
    """Have the macro give tokens within this, and note what they stand for."""
    outer = _nested.get()
    nested = Nested(made=outer.made if outer else {})
    reset = _nested.set(nested)
    try:
        yield nested
    finally:
        _nested.reset(reset)


def macro(
    stock: Callable[..., Any], dataset_id: Any, include_metrics: bool, columns: Any, from_dttm: Any, to_dttm: Any
) -> Any:
    """What the macro stands for in the SQL that is being made."""
    nested = _nested.get()
    if nested is None:
        return stock(dataset_id, include_metrics, columns, from_dttm, to_dttm)
    key = json.dumps([dataset_id, include_metrics, columns, from_dttm, to_dttm], default=str)
    if key not in nested.made:
        try:
            nested.made[key] = _token(key, dataset_id, include_metrics, columns, from_dttm, to_dttm)
        except _NotPlain:
            with _real():
                sql = stock(dataset_id, include_metrics, columns, from_dttm, to_dttm)
            nested.made[key] = sql, sql, set()
    token, text, tables = nested.made[key]
    nested.texts.append(text)
    nested.tables |= tables
    return token


@contextmanager
def _real() -> Iterator[None]:
    reset = _nested.set(None)
    try:
        yield
    finally:
        _nested.reset(reset)


def _token(key: str, dataset_id: Any, include_metrics: bool, columns: Any, *bounds: Any) -> tuple[str, str, set[Any]]:
    from superset.commands.dataset.exceptions import DatasetNotFoundError
    from superset.daos.dataset import DatasetDAO

    dataset = DatasetDAO.find_by_id(dataset_id)
    if not dataset:
        raise DatasetNotFoundError(f"Dataset {dataset_id} not found!")
    names = columns or [column.column_name for column in dataset.columns]
    metrics = [metric.metric_name for metric in dataset.metrics] if include_metrics else None
    query = {"columns": names, "metrics": metrics, "filter": [], "from_dttm": bounds[0], "to_dttm": bounds[1]}
    parts, tables = _made_of(dataset, query, names, include_metrics)
    text = json.dumps([key, *parts], default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"(\nSELECT '{digest}' AS nested\n) AS dataset_{dataset_id}", text, tables


def _made_of(dataset: Any, query: Mapping[str, Any], names: Any, metrics: bool) -> tuple[list[Any], set[Any]]:
    """All that the SQL of a nested dataset is made of, and the tables in it.

    Raises:
        _NotPlain: a part of it could name more tables, or was made by a template that is not rendered here.
    """
    columns = [(column.column_name, column.expression, column.type) for column in dataset.columns]
    measures = [(metric.metric_name, metric.expression) for metric in dataset.metrics] if metrics else []
    expressions = [f"{name} {expression or ''}" for name, expression, *_ in (*columns, *measures)]
    if not all(isinstance(name, str) for name in names) or any(_is_open(text) for text in expressions):
        raise _NotPlain
    with tokens() as within:
        processor = dataset.get_template_processor(**template_arguments(dataset, query))
        sql = rendered(dataset, processor)
        rules = row_level(dataset, processor)
    tables = _named(dataset, sql)
    shown = predicates(dataset, tables | within.tables) if sql else {}
    if any(_is_open(text) for text in (*rules, *(clause for _, clauses in shown for clause in clauses))):
        raise _NotPlain
    definition = [dataset.uid, dataset.database_id, dataset.catalog, dataset.schema, dataset.table_name,
                  dataset.main_dttm_col, dataset.always_filter_main_dttm, dataset.offset]  # fmt: skip
    return [definition, sql, columns, measures, rules, list(shown), within.texts], tables | within.tables


def _is_open(text: str) -> bool:
    return bool(JINJA.search(text) or SUBQUERY.search(text) or _MACRO.search(text))


def _named(dataset: Any, sql: str) -> set[Any]:
    from superset.sql.parse import Table

    if sql:
        return set(tables_of(sql, dataset.db_engine_spec.engine))
    if "." in f"{dataset.schema or ''}{dataset.table_name}":
        raise _NotPlain
    crosses = dataset.database.db_engine_spec.supports_cross_catalog_queries
    return {Table(dataset.table_name, dataset.schema or None, (dataset.catalog or None) if crosses else None)}


def rendered(datasource: Any, processor: Any) -> str:
    """The SQL of a virtual dataset as its template says now, empty for a physical one."""
    sql = (datasource.sql or "").strip("\t\r\n; ")
    return str(processor.process_template(sql)) if sql and JINJA.search(sql) else sql


def row_level(datasource: Any, processor: Any) -> list[str]:
    """The row-level rules of a dataset itself for this user, rendered."""
    return [str(clause) for clause in datasource.get_sqla_row_level_filters(processor)]


def predicates(datasource: Any, tables: Iterable[Any]) -> Any:
    """The rules of tables that the SQL of a dataset names, each with its table, in order."""
    from superset.utils import rls

    tables = set(tables)
    if not tables:
        return []
    database, catalog = datasource.database, datasource.catalog
    schema = datasource.schema or database.get_default_schema(catalog) or ""
    default = database.get_default_catalog()
    named = {table.qualify(catalog=catalog, schema=schema) for table in tables}
    clauses = [(str(table), rls.get_predicates_for_table(table, database, default)) for table in named]
    return sorted((name, sorted(rules)) for name, rules in clauses if rules)


def template_arguments(datasource: Any, query: Mapping[str, Any]) -> dict[str, Any]:
    """What `get_sqla_query` gives the templates of a dataset."""
    extras = query.get("extras") or {}
    granularity = query.get("granularity")
    if granularity is not None and granularity not in datasource.dttm_cols:
        granularity = datasource.main_dttm_col
    bounds = {name: query[name].isoformat() if query.get(name) else None for name in ("from_dttm", "to_dttm")}
    given = {name: query.get(name) for name in ("columns", "groupby", "metrics", "row_limit", "row_offset", "filter")}
    names = {"table_columns": [column.column_name for column in datasource.columns]}
    own: dict[str, list[Any]] = {"extra_cache_keys": [], "removed_filters": [], "applied_filters": []}
    place = {"time_column": granularity, "time_grain": extras.get("time_grain_sqla")}
    return {**given, **bounds, **place, **names, **datasource.template_params_dict, **own}

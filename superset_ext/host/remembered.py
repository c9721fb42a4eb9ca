"""What a process remembers for the making of keys: parsed SQL, compiled templates, and the default schema of a source.

The first two follow from the text alone. The default schema is the source's own, and a connection is opened to learn
it. A query that runs asks the source itself, and where that says otherwise its answer is not stored, since its key was
made of what was remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock
from typing import Any

from superset_ext.cache.query import current
from superset_ext.host.moment import MISSING, memory_of_key
from superset_ext.host.people import identity

_TEXTS = 1000  # of each kind that a process keeps


class _Kept:
    """The last values by key, for all threads of the process."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Any:
        """The value, or `MISSING`."""
        with self._lock:
            if key not in self._values:
                return MISSING
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: Any) -> None:
        with self._lock:
            self._values[key] = value
            if len(self._values) > _TEXTS:
                self._values.popitem(last=False)


_schemas, _parsed, _compiled, _tables = _Kept(), _Kept(), _Kept(), _Kept()


def default_schema(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `Database.get_default_schema`, which opens a connection to the source."""

    @wraps(stock)
    def get_default_schema(self: Any, catalog: str | None) -> str | None:
        query, place, is_key = current(), _place(self, catalog), memory_of_key() is not None
        schema: Any = _schemas.get(place) if is_key else MISSING
        if schema is MISSING:
            schema = stock(self, catalog)
            _schemas.put(place, schema)
        if query is not None and is_key:
            query.supposed[place] = schema
        elif query is not None and query.supposed.get(place, schema) != schema:
            query.refuse()
        return None if schema is None else str(schema)

    return get_default_schema


def _place(database: Any, catalog: str | None) -> Hashable:
    from flask import current_app

    own = database.impersonate_user or current_app.config["DB_CONNECTION_MUTATOR"]
    return database.id, database.changed_on, database.sqlalchemy_uri, catalog, identity() if own else None


def parsed_once(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `SQLStatement._parse`; whoever gets its trees may change them."""

    @wraps(stock)
    def _parse(cls: Any, script: str, engine: str) -> list[Any]:
        if memory_of_key() is None:
            return list(stock(cls, script, engine))
        trees = _parsed.get((script, engine))
        if trees is MISSING:
            try:
                trees = stock(cls, script, engine)
            except Exception as error:
                _parsed.put((script, engine), error)
                raise
            _parsed.put((script, engine), trees)
        elif isinstance(trees, Exception):
            raise trees.with_traceback(None)
        return [tree and tree.copy() for tree in trees]

    return _parse


def compiled_once(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `BaseTemplateProcessor.process_template`: its template is compiled once for each database."""

    @wraps(stock)
    def process_template(self: Any, sql: str, **kwargs: Any) -> str:
        if memory_of_key() is not None and type(self).__module__.startswith("superset."):
            _keep_compiled(self)
        text: str = stock(self, sql, **kwargs)
        return text

    return process_template


def _keep_compiled(processor: Any) -> None:
    """Have the environment look among what is compiled. A filter of a constant is worked out while it compiles, so
    what another database's filters made is of no use."""
    environment = processor.env
    if "compile" in vars(environment):
        return
    stock, database = environment.compile, processor._database.id

    def compile_(source: Any, *args: Any, **named: Any) -> Any:
        if args or named or not isinstance(source, str):
            return stock(source, *args, **named)
        key = (type(processor), database, source)
        code = _compiled.get(key)
        if code is MISSING:
            code = stock(source)
            _compiled.put(key, code)
        return code

    environment.compile = compile_


def tables_of(sql: str, engine: str) -> frozenset[Any]:
    """The tables that SQL names, as it names them.

    Raises:
        SupersetParseError: it cannot be parsed.
    """
    from superset.sql.parse import SQLScript

    tables = _tables.get((sql, engine))
    if tables is MISSING:
        statements = SQLScript(sql, engine=engine).statements
        tables = frozenset(table for statement in statements for table in statement.tables)
        _tables.put((sql, engine), tables)
    return tables  # type: ignore[no-any-return]

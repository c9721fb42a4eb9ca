"""The SQL that Superset would send to a source, and a connection to it as Superset would have it.

Everything here needs an app context, and is done as the current user: with the row-level rules of that user, and, where
a database impersonates, as that user.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import object_session

from superset_ext.cache.sent import Sent, sending
from superset_ext.core.driver_errors import first_line
from superset_ext.errors import PlanError, SourceBusy
from superset_ext.host.databases import detached
from superset_ext.host.people import Identity
from superset_ext.host.sql import parsed

_POSTGRESQL: Mapping[str, str] = {"postgresql": "PostgreSQL"}
WITH_PLANS: Mapping[str, str] = {**_POSTGRESQL, "duckdb": "DuckDB"}  # engines of which plans are taken
_IS_WRITTEN = "Could not set lock on file"  # DuckDB's words


@dataclass(frozen=True, slots=True)
class Asking:
    """A query and where it goes.

    Attributes:
        database: Superset's.
        sql: as Superset would send it.
        catalog, schema: where names without them are looked up, `None` for the database's own.
        posed: as Superset poses it, before it writes it anew for the driver, which is what the query log knows it by;
            empty: the same.
    """

    database: Any
    sql: str
    catalog: str | None = None
    schema: str | None = None
    posed: str = ""


@contextmanager
def as_user(name: str | None) -> Iterator[Identity | None]:
    """Within this, one of Superset's users asks; nobody if no name is given. The user's identity, `None` of nobody.

    Raises:
        PlanError: there is no such user, or it is deactivated.
    """
    from flask import current_app

    from superset_ext.host.services import override_user, security_manager

    with current_app.test_request_context():
        user = security_manager.find_user(username=name) if name else None
        if name and (user is None or not user.is_active):
            raise PlanError(f"Superset has no active user {name!r}")
        with override_user(user, force=True):
            yield Identity(user.id) if user else None


@contextmanager
def as_asker(user_id: int | None, database_id: int) -> Iterator[Any]:
    """Within this, the user who has asked a query asks again; the database that it went to.

    Raises:
        PlanError: the database is gone, or is asked as a user of its own whom nobody here can be.
    """
    from flask import current_app

    from superset_ext.host.models import Database, db
    from superset_ext.host.services import override_user, security_manager

    with current_app.test_request_context():
        database = db.session.get(Database, database_id)
        user = security_manager.get_user_by_id(user_id) if user_id is not None else None
        if database is None:
            raise PlanError(f"Superset has no database {database_id} any more", "Gone")
        if database.impersonate_user and (user is None or not user.is_active):
            raise PlanError(f"database {database_id} is asked as each user, and this one is gone or a guest", "Nobody")
        with override_user(user, force=True):
            yield database


def may_ask(database_id: int) -> bool:
    """Whether the current user may ask a database whatever they like, as Superset sees it."""
    from superset_ext.host.models import Database, db
    from superset_ext.host.services import security_manager

    database = db.session.get(Database, database_id)
    return database is not None and bool(security_manager.can_access_database(database))


def of_chart(chart_id: int) -> list[Asking]:
    """The queries that a chart would send now.

    Raises:
        PlanError: there is no such chart, or it cannot be asked as it is saved.
    """
    from superset_ext.host.models import Slice, db

    chart = db.session.get(Slice, chart_id)
    if chart is None:
        raise PlanError(f"Superset has no chart {chart_id}")
    try:
        return [asking_of(datasource, query) for datasource, query in _queries(chart)]
    except PlanError:
        raise
    except Exception as error:  # noqa: BLE001  (templates, mutators and charts are other people's)
        raise PlanError(f"the SQL of chart {chart_id} cannot be made ({type(error).__name__})") from None


def has_query(chart_id: int) -> bool:
    """Whether a chart was saved with what it asks; one of the older kinds is asked by its form.

    Raises:
        PlanError: there is no such chart.
    """
    from superset.viz import viz_types

    from superset_ext.host.models import Slice, db

    chart = db.session.get(Slice, chart_id)
    if chart is None:
        raise PlanError(f"Superset has no chart {chart_id}")
    return bool(chart.query_context) or chart.viz_type in viz_types


def charts_on(datasets: Collection[int]) -> list[int]:
    """Ids of the charts that are saved on datasets."""
    from superset_ext.host.models import Slice, db

    on = Slice.datasource_type == "table", Slice.datasource_id.in_(datasets)
    return [number for (number,) in db.session.query(Slice.id).filter(*on).order_by(Slice.id)] if datasets else []


def _queries(chart: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    from superset.views.utils import get_viz
    from superset.viz import viz_types

    if chart.viz_type in viz_types:
        kind, number = chart.datasource.type, chart.datasource.id
        viz = get_viz(datasource_type=kind, datasource_id=number, form_data=chart.form_data)
        yield viz.datasource, viz.query_obj()
        return
    context = chart.get_query_context()
    if context is None:
        raise PlanError(f"chart {chart.id} has no stored query; open it and save it again")
    for query in context.queries:
        yield query.datasource or context.datasource, query.to_dict()


def asking_of(datasource: Any, query: dict[str, Any]) -> Asking:
    """The statement that a datasource makes of a query.

    Raises:
        PlanError: it would send several.
    """
    extended = datasource.get_query_str_extended(query)
    if extended.prequeries:
        raise PlanError("it sends several statements, of which each needs the one before")
    database, catalog, schema = datasource.database, datasource.catalog, datasource.schema
    return Asking(database, as_sent(database, extended.sql), catalog, schema or None, extended.sql)


def as_sent(database: Any, sql: str) -> str:
    """One statement as it reaches the driver: as Superset writes it anew, and changes it by `SQL_QUERY_MUTATOR`."""
    script = parsed(sql, database.db_engine_spec.engine)
    if script is None or len(script.statements) != 1:
        return sql
    return str(database.mutate_sql_based_on_config(script.statements[0].format(), is_split=True))


@contextmanager
def connected(asking: Asking, engines: Mapping[str, str] = _POSTGRESQL) -> Iterator[Any]:
    """The driver's connection to where a query goes, one that was kept where there is one.

    Args:
        engines: that will do, and what people call them.

    Raises:
        SourceBusy: another process writes to its file, and nobody can read it meanwhile (DuckDB).
        PlanError: the database is of another engine or reached by another driver, or does not answer.
    """
    database = asking.database
    name, engine = database.database_name, database.db_engine_spec.engine
    if engine not in engines:
        raise PlanError(f"the database {name!r} is {engine}; this is done for {' and '.join(engines.values())}")
    if object_session(database) is not None:
        detached(database)
    with sending(Sent(database, asking.schema, asking.catalog)):
        opened = database.get_raw_connection(catalog=asking.catalog, schema=asking.schema)
        try:
            pooled = opened.__enter__()
        except Exception as error:  # noqa: BLE001  (a tunnel or a driver raises what it likes)
            kind = SourceBusy if _IS_WRITTEN in str(error) else PlanError
            raise kind(f"the database {name!r} cannot be connected to: {first_line(error)}") from None
        try:
            connection = pooled.dbapi_connection
            if engine == "postgresql" and not hasattr(connection, "server_version"):
                raise PlanError(f"the URI of the database {name!r} names another driver than psycopg2")
            yield connection
        finally:
            opened.__exit__(None, None, None)

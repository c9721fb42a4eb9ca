"""Which of Superset's databases are one source: the same server and catalog under another name, user or driver."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy.engine.url import URL, make_url

from superset_ext.core.signals import count_failure
from superset_ext.core.within import within
from superset_ext.host.databases import METADATA_SECONDS

# Engines whose URL names a schema in the place of a catalog: all tables of the server have a schema in their names.
_SCHEMA_IN_URL = frozenset({"mysql", "mariadb", "clickhouse", "clickhousedb", "hive", "impala", "starrocks", "doris"})
_ENGINES = {"mariadb": "mysql"}  # two names of one kind of server
_SPELLINGS = {"localhost": "127.0.0.1", "::1": "127.0.0.1", "": "127.0.0.1"}
REMEMBERED_SECONDS = 2.0  # for stamps that are repeated every 50 ms
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "redshift": 5439, "mssql": 1433, "trino": 8080}


class Place(NamedTuple):
    """Where a database is.

    Attributes:
        engine: SQLAlchemy's name of it, without the driver; of several names of one kind of server, one.
        servers: hosts and ports.
        catalog: the catalog, or the file; empty for any of the server.
    """

    engine: str
    servers: frozenset[tuple[str, int | None]]
    catalog: str

    def is_one_with(self, other: Place) -> bool:
        """Whether both may be the same source."""
        same = self.engine == other.engine and not self.servers.isdisjoint(other.servers)
        return same and (self.catalog == other.catalog or not (self.catalog and other.catalog))


_Known = tuple[Any, float, Mapping[int, Place]]  # an engine, when it was asked by the monotonic clock, its answer
_known: _Known = (None, 0.0, {})


def same_source(database_id: int, lately: bool = False) -> frozenset[int]:
    """The ids of Superset's databases that are the same source as this one, itself included.

    They are known by their URLs: a server under two names, other than localhost, is taken for two.

    Args:
        lately: whether those of the last seconds will do, which this process remembers.
    """
    try:
        places = _places(REMEMBERED_SECONDS if lately else 0.0)
        own = places.get(database_id)
        others = [number for number, place in places.items() if own is not None and own.is_one_with(place)]
    except Exception as error:  # noqa: BLE001  (whatever it is; the database itself is dropped all the same)
        count_failure("looking up the databases of one source", error)
        others = []
    return frozenset({database_id, *others})


def _places(seconds: float) -> Mapping[int, Place]:
    """Where Superset's databases are: remembered for so many seconds, and for as long as the metadata is away."""
    global _known
    from superset_ext.host.models import db

    engine, asked, places = _known
    if engine is not db.engine:
        asked, places = 0.0, {}
    if asked and time.monotonic() - asked < seconds:
        return places
    try:
        places = within(METADATA_SECONDS, _asked, db.engine)
    except Exception as error:
        if not asked:
            raise
        count_failure("looking up the databases of one source", error)
    _known = db.engine, time.monotonic(), places
    return places


def _asked(engine: Any) -> dict[int, Place]:
    from sqlalchemy.orm import Session

    from superset_ext.host.models import Database

    with Session(engine) as session:  # the caller's may be in its commit
        rows = session.query(Database.id, Database.sqlalchemy_uri, Database.extra).all()
    return {number: place for number, uri, extra in rows if (place := _place(uri, extra)) is not None}


def _place(uri: str, extra: str | None) -> Place | None:
    try:
        url = make_url(uri)
    except Exception:  # noqa: BLE001  (Superset keeps whatever was typed)
        return None
    engine = _ENGINES.get(url.get_backend_name(), url.get_backend_name())
    is_any = engine in _SCHEMA_IN_URL or bool(_settings(extra).get("allow_multi_catalog"))
    catalog = "" if is_any and url.host else _catalog(url)
    return Place(engine, _servers(url, engine), catalog)


def _settings(extra: str | None) -> dict[str, Any]:
    try:
        settings = json.loads(extra or "{}")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _catalog(url: URL) -> str:
    catalog = url.database or ""
    return catalog.partition("/")[0].casefold() if url.host else catalog


def _servers(url: URL, engine: str) -> frozenset[tuple[str, int | None]]:
    hosts = url.query.get("host", ())
    named = [url.host] if url.host else [hosts] if isinstance(hosts, str) else [*hosts]
    return frozenset(_server(host, url.port or _PORTS.get(engine)) for host in named or [""])


def _server(host: str, port: int | None) -> tuple[str, int | None]:
    name, _, own = host.partition(":") if host.count(":") == 1 else (host, "", "")
    name = name.casefold()
    return _SPELLINGS.get(name, name), int(own) if own.isdigit() else port

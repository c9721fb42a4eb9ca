"""Asks one source: finds what a probe is about, sends the question, and hashes the answer.

The source is asked through Superset's own connection to the database, as nobody in particular. The question only reads:
a statement that would write is refused, and PostgreSQL runs it in a read-only transaction.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from superset_ext.core.driver_errors import driver_error, first_line
from superset_ext.errors import SupersetExtError
from superset_ext.freshness.probe import postgresql
from superset_ext.freshness.probe.question import OTHERWISE, question
from superset_ext.freshness.probe.subject import POSTGRESQL, Probed, ProbeFailed, Source
from superset_ext.host.databases import database_of, detached
from superset_ext.host.datasets import datasets_named
from superset_ext.settings import Probe

_PURPOSE = "superset_ext probe v1"
_CREDENTIALS = re.compile(r"//[^@/\s]*@")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")


@dataclass(slots=True)
class Reply:
    """What came of asking. The thread that asks writes it; the thread that waits reads it.

    Attributes:
        probed: what the probe is about, or `None` if that is not known.
        answer: HMAC of the answer, in hex, or `None` if the source did not answer.
        error: why it did not: one line without secrets.
        connected: whether the source took the connection.
        interrupt: stops the driver's statement, if the driver can.
    """

    probed: Probed | None = None
    answer: str | None = None
    error: str | None = None
    connected: bool = False
    interrupt: Callable[[], None] | None = None


def ask(app: Any, probe: Probe, reply: Reply) -> None:
    """Ask a source, within an app context of its own. What comes of it, an error too, is in `reply`."""
    with app.app_context():
        database: Any = None
        try:
            database = database_of(probe.database)
            source = _source(probe, database)
            reply.probed = source.probed(probe.name)
            detached(database)
            reply.answer = _digest(app, source, _answer(probe, source, reply))
        except Exception as error:  # noqa: BLE001  (a driver raises what it likes)
            reply.error = _line(error, database)


def known(probe: Probe) -> Probed | None:
    """What a probe is about, without asking its source. Needs an app context."""
    try:
        return _source(probe, database_of(probe.database)).probed(probe.name)
    except Exception:  # noqa: BLE001  (Superset's own database may be away, too)
        return None


def _source(probe: Probe, database: Any) -> Source:
    if probe.dataset is None:
        return Source(database, *probe.place())
    dataset = _dataset(probe.dataset, database)
    schema, sql = dataset.schema or "", dataset.sql or None
    return Source(database, dataset.catalog or "", schema, dataset.table_name, sql, dataset.id)


def _dataset(named: int | str, database: Any) -> Any:
    datasets = datasets_named(named, database.id)
    if len(datasets) != 1:
        many = "has several datasets" if datasets else "has no dataset"
        end = "; write its id" if datasets else ""
        raise ProbeFailed(f"the database {database.database_name!r} {many} {named!r}{end}")
    return datasets[0]


def _answer(probe: Probe, source: Source, reply: Reply) -> Sequence[Any]:
    """The one row that the source answers."""
    sql, parameters = question(probe, source)
    rows = _rows(source, sql, parameters, probe.timeout, reply)
    if len(rows) != 1:
        raise ProbeFailed(f"it gives {'no row' if not rows else 'several rows'}; write a SELECT of one row")
    if not parameters:
        return tuple(rows[0])
    answer, problem = rows[0]
    if problem:
        raise ProbeFailed(f"{problem}; {OTHERWISE}")
    return (answer,)


def _rows(source: Source, sql: str, parameters: tuple[str, ...], timeout: float, reply: Reply) -> list[Any]:
    """At most two rows: more than one is one too many."""
    names = {"catalog": source.catalog or None, "schema": source.schema or None}
    with source.database.get_raw_connection(**names) as connection:
        driver = connection.dbapi_connection
        reply.connected, reply.interrupt = True, getattr(driver, "interrupt", None)
        cursor = connection.cursor()
        if source.engine == POSTGRESQL:
            postgresql.limit(driver, cursor, timeout)
        if parameters:
            cursor.execute(sql, parameters)
        else:
            source.database.db_engine_spec.execute(cursor, sql, source.database)
        return list(cursor.fetchmany(2))


def _digest(app: Any, source: Source, row: Sequence[Any]) -> str:
    """An HMAC of the answer and of its source: the same numbers from another source are another answer.

    It has a key, because a number of rows could be found from a plain hash by trying.
    """
    values = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    text = repr((source, values))
    if _ADDRESS.search(text):
        raise ProbeFailed("it gives a value that has no text; cast it in sql")
    secret = app.config["SECRET_KEY"]
    key = hmac.digest(secret.encode() if isinstance(secret, str) else secret, _PURPOSE.encode(), "sha256")
    return hmac.digest(key, text.encode(errors="surrogatepass"), "sha256").hex()


def _line(error: Exception, database: Any) -> str:
    """The first line of an error, without a password."""
    text, name = first_line(error), type(driver_error(error)).__name__
    if not isinstance(error, SupersetExtError) and text != name:
        text = f"{name}: {text}"
    return _CREDENTIALS.sub("//***@", _without(text, _password(database)))


def _without(text: str, secret: str) -> str:
    for spelling in {secret, quote(secret, safe="")} - {""}:
        text = text.replace(spelling, "***")
    return text


def _password(database: Any) -> str:
    from sqlalchemy.engine import make_url

    try:
        return str(make_url(database.sqlalchemy_uri_decrypted).password or "") if database is not None else ""
    except Exception:  # noqa: BLE001  (a URL that cannot be parsed has no password to leak)
        return ""

"""Asks one source whether its data changed: finds what a probe is about, what to ask, and hashes what is said.

It is asked through Superset's own connection to the database, as nobody in particular. The question reads: a
statement that would write is refused, and PostgreSQL runs it in a read-only transaction.
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
from superset_ext.freshness.probe import postgresql as postgresql
from superset_ext.freshness.probe.question import OTHERWISE, Probed, ProbeFailed, Source, question
from superset_ext.settings import Probe

_PURPOSE = "superset_ext probe v1"
_CREDENTIALS = re.compile(r"//[^@/\s]*@")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")


@dataclass(slots=True)
class Reply:
    """What came of asking; written by the thread that asks, read by the one that waits.

    Attributes:
        probed: what it is about, `None` where that is not known.
        answer: HMAC of what the source said, in hex; `None` where it did not answer.
        error: why not, one line without secrets.
        connected: whether the source took the connection.
        interrupt: stops the driver's statement, where it knows how.
    """

    probed: Probed | None = None
    answer: str | None = None
    error: str | None = None
    connected: bool = False
    interrupt: Callable[[], None] | None = None


def ask(app: Any, probe: Probe, reply: Reply) -> None:
    """Ask a source, within an app context of its own; what came of it is in `reply`, an error too."""
    with app.app_context():
        database: Any = None
        try:
            database = _database(probe)
            source = _source(probe, database)
            reply.probed = source.probed(probe.name)
            _let_go(database)
            reply.answer = _digest(app, source, _asked(probe, source, reply))
        except Exception as error:  # noqa: BLE001  (a driver raises what it likes)
            reply.error = _said(error, database)


def known(probe: Probe) -> Probed | None:
    """What a probe is about, without asking its source; needs an app context."""
    try:
        return _source(probe, _database(probe)).probed(probe.name)
    except Exception:  # noqa: BLE001  (Superset's own database may be away, too)
        return None


def _database(probe: Probe) -> Any:
    from superset.extensions import db
    from superset.models.core import Database

    by = Database.id if isinstance(probe.database, int) else Database.database_name
    found = db.session.query(Database).filter(by == probe.database).one_or_none()
    if found is None:
        raise ProbeFailed(f"Superset has no database {probe.database!r}")
    return found


def _let_go(database: Any) -> None:
    """Give Superset's own connection back: a source may take its time, or never answer."""
    from superset.extensions import db

    _ = database.ssh_tunnel  # all that is loaded only when asked for
    db.session.expunge(database)
    db.session.close()


def _source(probe: Probe, database: Any) -> Source:
    if probe.dataset is None:
        return Source(database, *probe.place())
    found = _dataset(probe.dataset, database)
    return Source(database, found.catalog or "", found.schema or "", found.table_name, found.sql or None, found.id)


def _dataset(wanted: int | str, database: Any) -> Any:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    rows = db.session.query(SqlaTable).filter(SqlaTable.database_id == database.id)
    if isinstance(wanted, int):
        found = rows.filter(SqlaTable.id == wanted).all()
    else:
        found = [each for each in rows if wanted == (f"{each.schema}." if each.schema else "") + each.table_name]
    if len(found) != 1:
        many = "has several datasets" if found else "has no dataset"
        raise ProbeFailed(f"the database {database.database_name!r} {many} {wanted!r}{'; write its id' * bool(found)}")
    return found[0]


def _asked(probe: Probe, source: Source, reply: Reply) -> Sequence[Any]:
    """The one row that the source says."""
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
        if source.engine == postgresql.ENGINE:
            postgresql.limit(driver, cursor, timeout)
        if parameters:
            cursor.execute(sql, parameters)
        else:
            source.database.db_engine_spec.execute(cursor, sql, source.database)
        return list(cursor.fetchmany(2))


def _digest(app: Any, source: Source, row: Sequence[Any]) -> str:
    """Of what was said and of where: the same numbers from another server or another query are another answer.

    It is keyed, since a number of rows could be found from a plain hash by trying.
    """
    values = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    said = repr((source, values))
    if _ADDRESS.search(said):
        raise ProbeFailed("it gives a value that has no text; cast it in sql")
    secret = app.config["SECRET_KEY"]
    key = hmac.digest(secret.encode() if isinstance(secret, str) else secret, _PURPOSE.encode(), "sha256")
    return hmac.digest(key, said.encode(errors="surrogatepass"), "sha256").hex()


def _said(error: Exception, database: Any) -> str:
    """The first line of an error, without a password."""
    text, name = first_line(error), type(driver_error(error)).__name__
    if not isinstance(error, SupersetExtError) and text != name:
        text = f"{name}: {text}"
    return _CREDENTIALS.sub("//***@", _without(text, _password(database)))


def _without(text: str, secret: str) -> str:
    for each in {secret, quote(secret, safe="")} - {""}:
        text = text.replace(each, "***")
    return text


def _password(database: Any) -> str:
    from sqlalchemy.engine import make_url

    try:
        return str(make_url(database.sqlalchemy_uri_decrypted).password or "") if database is not None else ""
    except Exception:  # noqa: BLE001  (a URL that cannot be read has no password that could be said)
        return ""

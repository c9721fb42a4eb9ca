"""What is looked at in the transaction that reads an aggregate, right before its text is sent there.

The transaction is one of one snapshot, and the aggregate's table is locked before that is taken: nobody puts another
one in its place meanwhile. Whether it is exact is then asked of the same snapshot that its text reads. Superset's own
statement is put under `WHERE false`: the source parses and plans it, checks the rights of the role on all that it
names, and reads nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import encodings

from superset_ext.aggregates.route.looked import Known
from superset_ext.aggregates.view import View
from superset_ext.core.log_database import next_row
from superset_ext.core.sql_folder import query_text
from superset_ext.errors import NotHeld
from superset_ext.host.replicas import MARGIN_SECONDS
from superset_ext.plans.answers import SAME_MOMENT
from superset_ext.plans.compared.limits import limiting

# The table first: a snapshot that is taken after its lock is granted sees what was put there.
_LOCKED = """{moment}; LOCK TABLE {table} IN ACCESS SHARE MODE NOWAIT; {limit}
SELECT FROM (
{sql}
) AS asked WHERE false"""
_ANOTHER = "it is gone, or was built anew or switched off since it was looked at"
_REASONS = {
    "55P03": "its table is being put in its place at this moment",
    "42P01": "its table, or one of the statement's, is gone",
    "3F000": "its table is gone",
    "42501": "the role that asks may not read the aggregate, or what the statement reads",
    "42703": "a column of the statement is gone",
    "57014": "the source took too long over the statement",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What the source says of an aggregate in a snapshot.

    Attributes:
        is_exact: whether it has what its query gives in this snapshot.
        age_seconds: since all that had been committed is in it.
        is_anchored: whether its base is what it was when it was made.
    """

    is_exact: bool
    age_seconds: float
    is_anchored: bool


def hold(cursor: Any, known: Known, view: View, looked: tuple[str, str], sql: str, ms: int) -> Held:
    """Look at an aggregate in the transaction of a cursor, and limit what follows in it to so many milliseconds.

    Args:
        view: as the statement was matched with.
        looked: the time zone, and the source's own name of the database, that the text was made for.
        sql: Superset's own statement.

    Raises:
        NotHeld: it may not be read for this statement.
    """
    connection: Any = getattr(cursor, "connection", None)
    if getattr(connection, "autocommit", True) or not hasattr(connection, "server_version"):
        raise NotHeld("the driver, or the mode that it is in, has no transaction")
    text = sql.rstrip().rstrip(";")
    first = _LOCKED.format(moment=SAME_MOMENT, table=known.kept.view.table, limit=limiting(ms), sql=text)
    written, schemas, names = ([one[place] for one in known.meant(view)] for place in range(3))
    values = {"written": written, "schemas": schemas, "names": names, "name": known.name}
    try:
        with connection.cursor() as own:
            held = own.mogrify(query_text("aggregate_held"), values).decode(encodings[connection.encoding])
            own.execute(f"{first};\n{held}")  # one round trip; only what is ours has values to put in
            row = next_row(own)
    except psycopg2.Error as error:
        raise _refused(error.pgcode) from None
    if row is None:
        raise NotHeld(_ANOTHER, passing=True)
    _refuse(row, known, looked)
    return Held(row["is_exact"], row["age_seconds"], row["is_anchored"])


def _refused(state: str | None) -> NotHeld:
    if state is None or state.startswith(("08", "57P")):
        return NotHeld("the source was lost", passing=True)
    return NotHeld(_REASONS.get(state, f"the source refused (SQLSTATE {state})"), state in ("55P03", "57014"))


def as_of_us(held: Held, stale_seconds: float, began: float) -> int | None:
    """Up to when rows surely have what was committed, in microseconds since 1970; `None`: as of now.

    Args:
        began: when the source was asked, in seconds since 1970.

    Raises:
        NotHeld: the aggregate is neither exact nor young enough.
    """
    if held.is_exact:
        return None
    if not stale_seconds or not held.is_anchored:
        raise NotHeld("it is not exact at this moment", passing=True)
    if held.age_seconds > stale_seconds:
        raise NotHeld("it is older than the settings allow", passing=True)
    return int((began - held.age_seconds - MARGIN_SECONDS) * 1e6)


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def _refuse(row: dict[str, Any], known: Known, looked: tuple[str, str]) -> None:
    if row["built_us"] != known.built_us or row["state"] != "ready":
        raise NotHeld(_ANOTHER, passing=True)
    if row["version"] != known.kept.version or not row["is_same_table"]:
        raise NotHeld("it was refreshed since it was looked at", passing=True)
    if row["is_replica"]:
        raise NotHeld("the source is a replica")
    if (row["zone"], row["database"]) != looked:
        raise NotHeld("the session has another time zone or database than Superset's others")
    if not row["are_same_names"]:
        raise NotHeld("a name of the statement means another table than the aggregate's")
    if row["row_security"]:
        raise NotHeld("a table of it has row security: which rows there are depends on who asks")
    if row["odd"]:
        raise NotHeld("it is made of a view or a foreign table, whose rows may depend on who asks")

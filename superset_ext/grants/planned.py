"""The statement of a hit, which each connection plans once: whether this moment has the name of an earlier one.

Mostly nothing has been written since, and the name is the same: then nothing else is looked at. That is so for the
reasons that `held_still` has in `sql/grants`, which makes the same name. Where it is another one, `holds` is asked as
there. It looks at the run of the server and the database by what names the triggers, which was read together with the
earlier moment's name: so the two need not be compared once more. Behind a pooler that changes connections the plan is
not there, and `held_still` is asked each time: it says the same, and may be sent as early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from superset_ext.core.driver_errors import driver_error
from superset_ext.grants.connections import connected, wait
from superset_ext.grants.held import Held

# Of this moment: the transactions that it sees, the run of the server, and the database.
NAME = """
pg_catalog.concat_ws(' ', pg_catalog.pg_current_snapshot(), extract(epoch FROM pg_catalog.pg_postmaster_start_time()),
    (SELECT id FROM superset_ext_grants.run), pg_catalog.current_database())"""
_PREPARE = f"""
PREPARE superset_ext_still_10 (text, text) AS
SELECT CASE WHEN name OPERATOR(pg_catalog.=) $1 THEN $1
    WHEN superset_ext_grants.holds(pg_catalog.split_part($1, ' ', 1)::pg_catalog.pg_snapshot, $2, NULL) THEN name END
FROM (SELECT {NAME} AS name OFFSET 0) AS moment
"""  # noqa: S608  (nothing but constants)
# With a moment's name, and that of the triggers: what names this moment, NULL where what held then may not hold.
STILL = "EXECUTE superset_ext_still_10 (%s, %s)"
HELD = "superset_ext_grants.held_still(%s::pg_snapshot, %s, %s::integer[], %s)"  # of a `Question`
_CLASSES = ("26", "42", "3F")  # of SQLSTATEs: no such plan, or it is there already, or may not be made


def planned(connect: Callable[[], Any], seconds: float, cannot: Callable[[], object]) -> Any:
    """An asynchronous connection of psycopg2 that has planned the statement.

    Args:
        connect: makes a connection to the same server.
        seconds: that the server may take for each of its steps.
        cannot: called where the server will not plan it.

    Raises:
        TimeoutError: the server did not answer.
        Exception: what connecting raises.
    """
    raw = connected(connect, seconds)
    try:
        with raw.cursor() as cursor:
            cursor.execute(_PREPARE)
            wait(raw, seconds)
    except Exception as error:
        if not is_unplanned(error):
            raw.close()
            raise
        cannot()
    return raw


def is_unplanned(error: Exception) -> bool:
    """Whether the server says that it has no such plan, or may make none."""
    return str(getattr(driver_error(error), "pgcode", None)).startswith(_CLASSES)


def still(held: Held, is_planned: bool) -> tuple[str, tuple[str | None, ...]]:
    """The statement that asks if all that held then holds, and its values; with a plan or without, it says the same."""
    return (STILL, (held.moment, held.under)) if is_planned else (f"SELECT {HELD}", held.still)

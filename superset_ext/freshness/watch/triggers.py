"""Watches on a source database, which must be PostgreSQL: the verbs over what `sql/watch` makes there.

A watched table and all of its parts have a trigger on statements. What it does, and why no commit is missed, is told in
`freshness.listener`. Everything here works on a psycopg2 connection that somebody else has opened.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg2

from superset_ext.core.driver_errors import first_line
from superset_ext.core.log_database import SQL
from superset_ext.errors import WatchError

SCHEMA = "superset_ext_watch"
CHANNEL = SCHEMA
LISTENER = "superset_ext listener"  # what a listener's sessions are called in pg_stat_activity
PATIENCE = 3.0  # seconds that a change of triggers waits for a lock; writers wait behind it

_FILES = tuple(sorted((SQL / "watch").glob("[0-9][0-9]_*.sql")))
_VERSION = re.compile(r"COMMENT ON SCHEMA superset_ext_watch IS '(.+)';")
_INSTALLED = "SELECT obj_description(to_regnamespace('superset_ext_watch'), 'pg_namespace')"
_LOCK_FIRST = """
SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(hashtextextended('superset_ext_watch', 0))
"""
_LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
_REFUSED, _LOCKED, _FORBIDDEN = "SXW01", "55P03", "42501"


class Name(NamedTuple):
    """A table of a source, as its catalog writes it."""

    schema: str
    table: str

    def __str__(self) -> str:
        """As SQL writes it."""
        return ".".join(each if re.fullmatch("[a-z_][a-z0-9_]*", each) else _quoted(each) for each in self)


@dataclass(frozen=True, slots=True)
class Watched:
    """A watched table.

    Attributes:
        id: the source's number of it.
        name: what is watched; a table that is made anew under this name is the same.
        added_at, notified_at: since when, and when a listener last heard that it changed.
        relation: the source's number of the table; `None` where there is none of this name.
        missing: on how many of its members the trigger does not fire.
        shape: a text that changes when its definition or its parts do.
        part_of: the tables that it is a part of.
    """

    id: int
    name: Name
    added_at: datetime
    notified_at: datetime | None
    relation: int | None
    missing: int
    shape: str | None
    part_of: tuple[Name, ...]

    @property
    def intact(self) -> bool:
        """Whether every write to it is heard of."""
        return self.relation is not None and not self.missing


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def transaction(connection: Any) -> Iterator[Any]:
    """A cursor in one transaction of its own.

    Raises:
        WatchError: the source refused something, or does not answer; nothing was changed.
    """
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                if not connection.closed:
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
    except psycopg2.Error as error:
        raise explained(error, connection) from None


def explained(error: psycopg2.Error, connection: Any) -> WatchError:
    """The driver's error as one line that names the fix; the driver never repeats a password."""
    reason = (error.diag.message_primary or first_line(error)).strip()
    if error.pgcode == _REFUSED:
        return WatchError(reason)
    if error.pgcode == _LOCKED:
        return WatchError(
            "the table was locked all the time, by a transaction or by an autovacuum; nothing was changed, so that "
            "writers need not wait; try again when that has ended"
        )
    if error.pgcode == _FORBIDDEN:
        return WatchError(f"{reason}; {_grant(reason, connection)}")
    if error.pgcode is None:
        return WatchError(f"{reason}; check that the source database runs")
    return WatchError(reason)


def _grant(reason: str, connection: Any) -> str:
    role, database = _quoted(connection.info.user), _quoted(connection.info.dbname)
    if "permission denied for database" in reason:
        return f"let an owner run: GRANT CREATE ON DATABASE {database} TO {role}"
    return (
        f"if the schema {SCHEMA} is somebody else's, let them add and remove tables as sql/watch/01_schema.sql says, "
        f"and run: SELECT superset_ext_watch.allow('{role}')"
    )


def take_turn(cursor: Any, patience: float = PATIENCE) -> None:
    """Have nobody else add or remove until the end of the transaction, whose locks are each waited for so long.

    Raises:
        psycopg2.Error: somebody else took more than `patience` seconds.
    """
    cursor.execute(_LOCK_FIRST, (f"{patience * 1000:.0f}",))


def refuse_replica(cursor: Any) -> None:
    """See that this is a primary.

    Raises:
        WatchError: it is a replica.
    """
    cursor.execute("SELECT pg_is_in_recovery()")
    if cursor.fetchone()[0]:
        raise WatchError("it is a replica, where nobody writes or notifies; connect Superset to its primary")


def make_ready(cursor: Any, patience: float = PATIENCE) -> None:
    """Make the schema where it is not there or is another version's; nobody else adds or removes until the end.

    Raises:
        WatchError: the source is a replica.
        psycopg2.Error: it refused.
    """
    refuse_replica(cursor)
    take_turn(cursor, patience)
    files = [path.read_text(encoding="utf-8") for path in _FILES]
    cursor.execute(_INSTALLED)
    if cursor.fetchone()[0] != _version(files):
        for text in files:
            cursor.execute(text)


def _version(files: Sequence[str]) -> str:
    found = _VERSION.search("\n".join(files))
    if found is None:
        raise WatchError(f"no files in {SQL / 'watch'}; mount the package's folder sql beside superset_ext")
    return found[1]


def add(cursor: Any, tables: Sequence[str], two_phase_unused: bool = False) -> list[Name]:
    """Watch tables, whose names are written as in SQL; one that is watched already is brought up to date.

    Args:
        cursor: of `transaction`, which is to be committed.
        tables: one without a schema is looked for on the search path.
        two_phase_unused: that the server allows PREPARE TRANSACTION is no reason to refuse.

    Raises:
        WatchError: a table cannot be watched; it says why.
        psycopg2.Error: the source refused, which `transaction` explains.
    """
    make_ready(cursor)
    known = {each.relation: each for each in state(cursor)}
    return [_add(cursor, table, known, two_phase_unused) for table in tables]


def _add(cursor: Any, table: str, known: Mapping[int | None, Watched], two_phase_unused: bool) -> Name:
    cursor.execute("SELECT superset_ext_watch.find(%s)", (table,))
    (relation,) = cursor.fetchone()
    found = known.get(relation)
    if found is None or not found.intact:  # else an administrator may have added it, and this role may not
        add_relation(cursor, relation, two_phase_unused)
    cursor.execute(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE pg_class.oid = %s",
        (relation,),
    )
    return Name(*cursor.fetchone())


def add_relation(cursor: Any, relation: int, two_phase_unused: bool, patience: float = PATIENCE) -> None:
    """Watch the table of this number, waiting at most `patience` seconds for each lock.

    Raises:
        psycopg2.Error: the source refused.
    """
    cursor.execute(
        "SELECT superset_ext_watch.add(%s::oid, %s, make_interval(secs => %s))",
        (relation, two_phase_unused, patience),
    )


def relation_of(cursor: Any, name: Name) -> int:
    """The source's number of whatever has this name.

    Raises:
        psycopg2.Error: there is nothing of this name.
    """
    cursor.execute("SELECT superset_ext_watch.find(%s)", (".".join(_quoted(part) for part in name),))
    return int(cursor.fetchone()[0])


def among(cursor: Any, known: Collection[Name], table: str) -> Name:
    """Which of the known tables is meant; it is written as in SQL, and need not exist any more.

    Raises:
        WatchError: none, or several.
        psycopg2.Error: it is no name.
    """
    cursor.execute("SELECT parse_ident(%s)", (table,))
    parts = tuple(cursor.fetchone()[0])[-2:]
    found = [name for name in known if name[-len(parts) :] == parts]
    if len(found) != 1:
        why = "is watched in several schemas; name one" if found else "is not watched; see: superset perf watch list"
        raise WatchError(f"{table} {why}")
    return found[0]


def remove(cursor: Any, names: Collection[Name]) -> None:
    """Take watches away, also of tables that are gone; after the last one nothing of ours is left on the source.

    Raises:
        psycopg2.Error: the source refused.
    """
    if not is_ready(cursor):
        return
    for name in sorted(names):
        cursor.execute("SELECT superset_ext_watch.remove(%s, %s)", name)
    cursor.execute("SELECT FROM superset_ext_watch.watched")
    if cursor.rowcount == 0:
        cursor.execute((SQL / "watch" / "uninstall.sql").read_text(encoding="utf-8"))


def is_ready(cursor: Any) -> bool:
    """Whether anything of ours is on the source."""
    cursor.execute(_INSTALLED)
    return cursor.fetchone()[0] is not None


def state(cursor: Any) -> list[Watched]:
    """The watched tables; none where the schema is not there.

    Raises:
        psycopg2.Error: the source does not answer.
    """
    if not is_ready(cursor):
        return []
    cursor.execute("SELECT * FROM superset_ext_watch.state()")
    return [_watched(*row) for row in cursor.fetchall()]


def _watched(
    number: int, schema: str, table: str, added_at: datetime, notified_at: datetime | None, relation: int | None,
    missing: int | None, shape: str | None, part_of: Sequence[Sequence[str]] | None,
) -> Watched:  # fmt: skip
    parts = tuple(Name(*each) for each in part_of or ())
    return Watched(number, Name(schema, table), added_at, notified_at, relation, missing or 0, shape, parts)


def listeners(cursor: Any) -> int:
    """How many listeners are connected; those of other roles are not counted, where this one may not see them."""
    cursor.execute(_LISTENERS, (LISTENER,))
    return int(cursor.fetchone()[0])


def mute(cursor: Any, heard: Mapping[int, int]) -> None:
    """Let nobody notify of the tables whose epochs were heard, by number."""
    for number, epoch in sorted(heard.items()):
        cursor.execute("SELECT superset_ext_watch.mute(%s, %s)", (number, epoch))


def arm(cursor: Any, numbers: Collection[int]) -> None:
    """Let the next commit of each session notify of the tables of these numbers."""
    cursor.execute("SELECT superset_ext_watch.arm(%s)", (list(numbers),))


def writers(cursor: Any, numbers: Collection[int]) -> dict[int, frozenset[str]]:
    """The open transactions that may have written to each table; prepared ones begin with `-1/`."""
    cursor.execute("SELECT id, writer FROM superset_ext_watch.writers(%s)", (list(numbers),))
    rows = cursor.fetchall()
    return {number: frozenset(writer for each, writer in rows if each == number) for number in numbers}

"""Adds what notes say to an aggregate's rows, without its base.

The notes that a snapshot sees are summed up by group into a table that stands beside the aggregate's row as it was:
what the row becomes, or that this cannot be said without the base. A count and a sum of what came and went is simply
added. Of extremes, let m be the best of the row's own and of all that came: no better one can have been taken away. If
each statement that took an m brought one too, some row has it, since nobody took what the last of these brought.
Otherwise the group is *read*: made anew from the base. A statement that took all rows that a group had, and is the only
one, leaves just what it brought. A group is read too if its sum is 0 after values went and their number is not known,
since the sum of no values is NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.aggregates.tables.definition import Definition, full
from superset_ext.aggregates.tables.making import types_of
from superset_ext.aggregates.tables.notes import ALL, CAME, TABLE, WENT, note_table
from superset_ext.aggregates.tables.parts import PREFIX, Part, parts_of
from superset_ext.aggregates.view import ROWS, Measure, quoted

READ, PLACE = f"{PREFIX}read", f"{PREFIX}place"
_HOLDERS = "SELECT coalesce(array_agg(id::text), '{}') FROM superset_ext_aggregates.members(%s, %s) WHERE holds"
_SPECIAL = "IN ('NaN', 'Infinity', '-Infinity')"
_REPLACED = f"d.notes = 1 AND d.went = coalesce(a.{ROWS}, 0)"
_ADDED_UP = ("bigint", "numeric")


@dataclass(frozen=True)
class Taken:
    """The notes that a refresh has taken, summed up in the table `delta`.

    Attributes:
        notes: how many there were.
        everything: whether any group may have changed, or the notes cannot be right.
        groups: how many they name.
        read: how many of these have to be read from the base.
    """

    notes: int
    everything: bool
    groups: int = 0
    read: int = 0


def delta(name: str) -> str:
    """The table of what notes come to, as SQL."""
    return full(f"delta_{name}")


def taken(cursor: Any, definition: Definition, whole: bool) -> Taken:
    """Take the notes that this transaction's snapshot sees off the table of notes, and sum them up.

    Args:
        whole: all is made anew anyway, so that nothing need be summed up.
    """
    note, table = note_table(definition.name), delta(definition.name)
    nulls = [f"{name} IS NULL" for name in _keys(definition)]
    group = f"GROUP BY {', '.join(nulls)}" if nulls else "HAVING count(*) > 0"
    pattern = f"ARRAY[{', '.join(nulls)}]" if nulls else "NULL"
    cursor.execute(f"SELECT count(*), bool_or({ALL}), {pattern} FROM {note} {group}")  # noqa: S608
    rows = cursor.fetchall()
    notes, everything = sum(row[0] for row in rows), whole or any(row[1] for row in rows)
    groups = read = 0
    if notes and not everything:
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        summed = _summed(cursor, definition, [row[2] or [] for row in rows])
        cursor.execute(f"CREATE UNLOGGED TABLE {table} AS {summed}")
        wrong = f"count(*) FILTER (WHERE NOT {READ} AND {ROWS} < 0) > 0"
        cursor.execute(f"SELECT {wrong}, count(*), count(*) FILTER (WHERE {READ}) FROM {table}")  # noqa: S608
        everything, groups, read = cursor.fetchone()
    if notes:
        cursor.execute(f"DELETE FROM {note}")  # noqa: S608
    return Taken(notes, everything, groups, read)


def added(cursor: Any, definition: Definition) -> tuple[int, dict[str, int]]:
    """Change the rows of the groups that need not be read.

    Returns:
        How many more rows there are; and for each key how many values more, if any.
    """
    table, change = definition.table, delta(definition.name)
    names = [quoted(ROWS), *(quoted(definition.view.names[one]) for one in definition.view.measures)]
    sets = ", ".join(f"{name} = d.{name}" for name in names)
    same = f"a.ctid = d.{PLACE} AND NOT d.{READ}"
    cursor.execute(f"UPDATE {table} AS a SET {sets} FROM {change} AS d WHERE {same} AND d.{ROWS} > 0")  # noqa: S608
    cursor.execute(f"DELETE FROM {table} AS a USING {change} AS d WHERE {same} AND d.{ROWS} = 0")  # noqa: S608
    gone = cursor.rowcount
    new = f"FROM {change} WHERE {PLACE} IS NULL AND NOT {READ} AND {ROWS} > 0"
    more = _more_values(cursor, definition, new)
    columns = ", ".join([*_keys(definition), *names])
    cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} {new}")
    return cursor.rowcount - gone, more


def put_beside(cursor: Any, definition: Definition) -> tuple[int, dict[str, int]]:
    """Put all rows, as they are to be, into a table beside the aggregate's, which has no indexes yet.

    Where many groups have changed, that takes a fraction of what changing each row in its place takes.

    Returns:
        How many rows there are; and for each key how many values more there are at most.
    """
    table, change, new = definition.table, delta(definition.name), full(f"new_{definition.name}")
    more = _more_values(cursor, definition, f"FROM {change} WHERE {PLACE} IS NULL AND {ROWS} > 0")
    keys = _keys(definition)
    names = [quoted(ROWS), *(quoted(definition.view.names[one]) for one in definition.view.measures)]
    values = [f"CASE WHEN d.{ROWS} IS NULL THEN a.{name} ELSE d.{name} END" for name in (*keys, *names)]
    cursor.execute(f"CREATE TABLE {new} (LIKE {table})")
    cursor.execute(
        f"INSERT INTO {new} ({', '.join((*keys, *names))}) SELECT {', '.join(values)} FROM {table} AS a"  # noqa: S608
        f" FULL JOIN {change} AS d ON a.ctid = d.{PLACE} WHERE coalesce(d.{ROWS}, a.{ROWS}) > 0"
    )
    return cursor.rowcount, more


def _more_values(cursor: Any, definition: Definition, new: str) -> dict[str, int]:
    counts = ["count(*)"]
    for name in _keys(definition):
        other = f"SELECT {name} {new} EXCEPT SELECT {name} FROM {definition.table}"  # noqa: S608
        counts.append(f"CASE WHEN count(*) > 0 THEN (SELECT count(*) FROM ({other}) AS o) ELSE 0 END")  # noqa: S608
    cursor.execute(f"SELECT {', '.join(counts)} {new}")
    _, *numbers = cursor.fetchone()
    return dict(zip((definition.view.names[key] for key in definition.view.keys), numbers, strict=True))


def _summed(cursor: Any, definition: Definition, patterns: Sequence[Sequence[bool]]) -> str:
    """Each noted group, with what its row becomes. A join by each pattern of NULL keys, so that an index serves it."""
    cursor.execute(_HOLDERS, definition.base)
    (holders,) = cursor.fetchone()
    parts = _parts(cursor, definition)
    keys = _keys(definition)
    values = [*keys, "count(*) AS notes", f"sum({CAME})::bigint AS came", f"sum({WENT})::bigint AS went"]
    values.append(f"bool_or({TABLE} <> ALL ('{{{','.join(holders)}}}'::oid[])) AS is_around")
    values += [text for part in parts or () for text in _of_notes(part)]
    group = f"GROUP BY {', '.join(keys)}" if keys else ""
    noted = f"SELECT {', '.join(values)} FROM {note_table(definition.name)} {group}"  # noqa: S608
    selects = [_joined(definition, parts, pattern) for pattern in patterns]
    return f"WITH noted AS MATERIALIZED ({noted}) {' UNION ALL '.join(selects)}"


def _joined(definition: Definition, parts: Sequence[Part] | None, nulls: Sequence[bool]) -> str:
    keys = _keys(definition)
    same = [f"a.{key} IS NULL" if null else f"a.{key} = d.{key}" for key, null in zip(keys, nulls, strict=True)]
    these = [f"d.{key} IS {'' if null else 'NOT '}NULL" for key, null in zip(keys, nulls, strict=True)]
    rows = f"coalesce(a.{ROWS}, 0) + d.came - d.went"
    reasons = ["true"] if parts is None else [text for part in parts for text in _unsure(part, parts)]
    if any(not definition.view.columns[key.column].identical for key in definition.view.keys):
        reasons.append("d.went > 0")  # its key may be shown as a row had it that is gone
    read = f"d.is_around OR ({rows} <> 0 AND ({' OR '.join(reasons) or 'false'}))"
    columns = [*(f"d.{key}" for key in keys), f"a.ctid AS {PLACE}", f"coalesce({read}, true) AS {READ}"]
    columns.append(f"{rows} AS {quoted(ROWS)}")
    columns += [f"{_new(part, parts or ())} AS {quoted(part.column)}" for part in parts or ()]
    columns += [f"a.{quoted(definition.view.names[one])}" for one in definition.view.measures if parts is None]
    return (f"SELECT {', '.join(columns)} FROM noted AS d LEFT JOIN {definition.table} AS a"  # noqa: S608
            f" ON {' AND '.join(same) or 'true'} WHERE {' AND '.join(these) or 'true'}")  # fmt: skip


def _of_notes(part: Part) -> list[str]:
    """What the notes of a group come to, for a measure."""
    net, *_ = part.columns
    if part.is_extreme:
        (came, went), best = part.columns, part.measure.function
        made_good = f"coalesce({came} {'<=' if best == 'min' else '>='} {went}, false)"
        return [f"{best}({came}) AS {came}", f"{best}({went}) FILTER (WHERE NOT {made_good}) AS {went}"]
    if part.is_sum:
        return [f"coalesce(sum({net}), 0) AS {net}", *(f"sum({name})::bigint AS {name}" for name in part.columns[1:])]
    return [f"sum({net})::bigint AS {net}"]


def _new(part: Part, parts: Sequence[Part]) -> str:
    """What a measure becomes."""
    own, net = f"a.{quoted(part.column)}", f"d.{part.columns[0]}"
    if part.is_extreme:
        best = "least" if part.measure.function == "min" else "greatest"
        return f"CASE WHEN {_REPLACED} THEN {net} ELSE {best}({own}, {net}) END"
    if not part.is_sum:
        return f"coalesce({own}, 0) + {net}"
    known = _count_of(part, parts)
    none = f"{_new(known, parts)} = 0" if known is not None else f"{own} IS NULL AND d.{part.columns[1]} = 0"
    return f"CASE WHEN {none} THEN NULL ELSE coalesce({own}, 0) + {net} END"


def _unsure(part: Part, parts: Sequence[Part]) -> list[str]:
    """When what a measure becomes cannot be said without the base."""
    own = f"a.{quoted(part.column)}"
    if part.is_extreme:
        came, went = (f"d.{name}" for name in part.columns)
        best, better = ("least", "<=") if part.measure.function == "min" else ("greatest", ">=")
        is_gone = f"{went} IS NOT NULL AND coalesce({went} {better} {best}({own}, {came}), true)"
        return [f"{is_gone} AND NOT ({_REPLACED})"]
    if not part.is_sum:
        return []
    net, came, went = (f"d.{name}" for name in part.columns)
    total = f"(coalesce({own}, 0) + {net})"
    reasons = [f"{total} {_SPECIAL}"]
    if _count_of(part, parts) is None:
        reasons.append(f"{came} <= {went} AND {total} = 0")
    if not part.is_fixed:
        reasons.append(f"scale({total}) > 0")  # the value that had most digits may be gone
    return [f"{went} > 0 AND ({' OR '.join(reasons)})"]


def _count_of(part: Part, parts: Sequence[Part]) -> Part | None:
    """The measure that counts the values of a sum."""
    wanted = Measure("count", part.measure.argument)
    return next((one for one in parts if one.measure == wanted), None)


def _parts(cursor: Any, definition: Definition) -> tuple[Part, ...] | None:
    """The measures as the notes have them; `None` where their types are other ones by now, and the base is asked."""
    parts = parts_of(definition.view)
    types = types_of(cursor, note_table(definition.name))
    is_exact = all(types.get(part.columns[0]) in _ADDED_UP for part in parts or () if part.is_sum)
    return parts if is_exact else None


def _keys(definition: Definition) -> list[str]:
    return [quoted(definition.view.names[key]) for key in definition.view.keys]

"""The texts that are compared for an aggregate: within one snapshot, whether the aggregate is exact in it or not.

Where it is exact its table is read. Where it is not, which is as it should be for one that may be stale, what makes the
table is put in its place: that shows whether the text is right for what the base has at that moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from math import isclose
from typing import Any

from sqlglot import exp

from superset_ext.aggregates.match import Match
from superset_ext.aggregates.over import SOURCE, Allowed
from superset_ext.aggregates.route.guard import Held
from superset_ext.aggregates.route.looked import Known
from superset_ext.errors import PlanError
from superset_ext.plans.answers import same_rows
from superset_ext.plans.compared.shadow import Other, Rows
from superset_ext.plans.rewrite.rewriting import parsed

_DIGITS = 1e-9  # by which sums of floating point numbers may differ, of their size


def other_text(sql: str, match: Match, known: Known, held: Held, allowed: Allowed) -> Other:
    """The text of a statement that is compared, and how.

    Raises:
        PlanError: one cannot be changed for that.
    """
    engine = match.view.engine
    text, own, timed = match.sql, "", ""
    if allowed.ties:  # rows that tie at a LIMIT may be others: what it chooses from has to be the same
        text, own = _uncut(text, engine), _uncut(sql, engine)
    if not held.is_exact:
        text, timed = _made_anew(text, known), match.sql
    return Other(text, (known.edition,), match.below, own=own, timed=timed, same=_same(allowed))


def _tree(sql: str, engine: str) -> exp.Query:
    tree = parsed(sql, engine)
    if isinstance(tree, str):
        raise PlanError(tree, "NotParsed")
    return tree


def _uncut(sql: str, engine: str) -> str:
    tree = _tree(sql, engine)
    for part in ("limit", "offset", "order"):
        tree.set(part, None)
    return tree.sql(dialect=engine)


def _made_anew(sql: str, known: Known) -> str:
    """A text that reads what makes an aggregate's table."""
    engine = known.kept.view.engine
    tree = _tree(sql, engine)
    for table in list(tree.find_all(exp.Table)):  # one, or two where there is a series limit
        table.replace(exp.alias_(exp.Subquery(this=_tree(known.kept.definition.select(), engine)), SOURCE, table=True))
    return tree.sql(dialect=engine)


def _same(allowed: Allowed) -> Callable[[Rows, Rows], bool]:
    if not allowed.floats and not allowed.loose:
        return same_rows
    return lambda first, second: _nearly(_plain(first, allowed), _plain(second, allowed), allowed)


def _plain(rows: Rows, allowed: Allowed) -> Rows:
    return [[_loose(value) for value in row] for row in rows] if allowed.loose else rows


def _loose(value: Any) -> Any:
    """One of the values that are equal to it in a source."""
    if isinstance(value, str):
        return value.casefold().rstrip()
    if isinstance(value, Decimal) and value.is_finite():
        return value.normalize() + 0
    return value + 0.0 if isinstance(value, float) else value


def _nearly(first: Rows, second: Rows, allowed: Allowed) -> bool:
    """Whether rows are the same, in any order, but for the last digits of floating point numbers."""
    if not allowed.floats:
        return same_rows(first, second)
    one, other = _by_rest(first), _by_rest(second)
    if one.keys() != other.keys():
        return False
    pairs = [pair for rest, left in one.items() for pair in _paired(left, other[rest])]
    return all(right is not None and all(map(_close, left, right)) for left, right in pairs)


def _by_rest(rows: Rows) -> dict[str, list[tuple[float, ...]]]:
    """The floating point numbers of rows, by all else in them."""
    parts: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for row in rows:
        others = [(place, value) for place, value in enumerate(row) if not _is_float(value)]
        rest = repr([(place, type(value).__name__, str(value)) for place, value in others])
        parts[rest].append(tuple(value for value in row if _is_float(value)))
    return parts


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _paired(
    left: Sequence[tuple[float, ...]], right: Sequence[tuple[float, ...]]
) -> list[tuple[tuple[float, ...], tuple[float, ...] | None]]:
    if len(left) != len(right):
        return [((), None)]
    return list(zip(sorted(left, key=repr), sorted(right, key=repr), strict=True))


def _close(one: float, other: float) -> bool:
    return (one != one and other != other) or isclose(one, other, rel_tol=_DIGITS, abs_tol=0.0)

"""What was asked of one relation: statements with their values, read once, and what each needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from superset_ext.aggregates.base import base
from superset_ext.aggregates.needs import Needs, needs
from superset_ext.aggregates.shape import Shape, shape_of
from superset_ext.errors import AggregateRefused
from superset_ext.plans.rewrite.facts import Facts
from superset_ext.plans.rewrite.rewriting import parsed

_SEVERAL = 24  # statements of a relation whose needs are merged by pairs
_MOST = 150  # candidates of a relation


@dataclass(frozen=True)
class Asked:
    """A statement with its values, and what it took.

    Attributes:
        schema: where names without one are looked up; `None` for the role's own.
        seconds: that its calls took, a day.
        calls: a day.
        charts, datasets: Superset's ids of those that asked.
    """

    fingerprint: str
    sql: str
    schema: str | None
    seconds: float
    calls: float
    charts: tuple[int, ...] = ()
    datasets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ask:
    """A statement that an aggregate could answer."""

    asked: Asked
    shape: Shape
    needs: Needs


@dataclass(frozen=True)
class Refused:
    """Statements that none could, by the reason: how many there are, and their seconds a day."""

    reason: str
    statements: int
    seconds: float


def read(asked: Iterable[Asked], facts: Callable[[str | None], Facts], zone: str) -> tuple[list[Ask], list[Refused]]:
    """The statements that an aggregate could answer, and why others cannot be.

    Args:
        facts: the catalogue, for names without a schema as they are looked up there.
        zone: the session's time zone.
    """
    asks: list[Ask] = []
    refused: list[Refused] = []
    for one in asked:
        try:
            asks.append(_ask(one, facts(one.schema), zone))
        except AggregateRefused as error:
            refused.append(Refused(str(error), 1, one.seconds))
    return asks, list(summed(refused))


def summed(refused: Iterable[Refused]) -> tuple[Refused, ...]:
    """Each reason once, those first that take most."""
    by_reason: dict[str, Refused] = {}
    for one in refused:
        so_far = by_reason.get(one.reason, Refused(one.reason, 0, 0.0))
        by_reason[one.reason] = Refused(
            one.reason, so_far.statements + one.statements, so_far.seconds + one.seconds
        )  # fmt: skip
    return tuple(sorted(by_reason.values(), key=lambda one: -one.seconds))


def _ask(asked: Asked, facts: Facts, zone: str) -> Ask:
    tree = parsed(asked.sql, facts.engine)
    if isinstance(tree, str):
        raise AggregateRefused(tree)
    shape = shape_of(tree, facts.engine, base(tree, facts).columns)
    return Ask(asked, shape, needs(shape, zone))


def candidates(asks: Sequence[Ask]) -> list[Needs]:
    """What aggregates of one relation could keep: what each statement needs, what pairs need, and so on to all.

    A coarse grain follows from a finer one, an average from sum and count, and filters are keys; so the more an
    aggregate serves, the finer it is. Which is worth its rows is for the choice.
    """
    ordered = sorted(asks, key=lambda ask: -ask.asked.seconds)
    single = _unlike(ask.needs for ask in ordered)
    pairs = [one.merged(other) for place, one in enumerate(single[:_SEVERAL]) for other in single[:place]]
    rising: list[Needs] = []
    for place, one in enumerate(single):
        rising.append(one if not place else rising[-1].merged(one))
    return _unlike([*single, *rising, *pairs])[:_MOST]


def _unlike(several: Iterable[Needs]) -> list[Needs]:
    by_meaning = {(frozenset(one.units.items()), frozenset(one.measures)): one for one in several}
    return list(by_meaning.values())

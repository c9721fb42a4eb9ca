"""The choice among aggregates within a budget: the greedy walk of Harinarayan, Rajaraman and Ullman, by byte.

What an aggregate gains depends on those that were chosen before: a statement is answered by the smallest of them. One
walk alone can spend the budget on something small that keeps something better out, so that a walk begins from each
candidate, and the best of all is taken, or one nearly as good of fewer tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

_LEAST = 0.002  # of all that could be gained; what gains less is not worth a table
_AS_GOOD = 0.995  # of the best; of those that gain so much the fewest tables are taken, as each has to be kept up
_STARTS = 40  # walks, from the candidates that gain most alone


@dataclass(frozen=True)
class Candidate:
    """An aggregate that could be built.

    Attributes:
        bytes: that it takes.
        gains: what each statement that it answers would gain, by the statement's place.
    """

    bytes: float
    gains: Mapping[int, float]


def total(candidates: Sequence[Candidate], chosen: Sequence[int]) -> float:
    """What all statements gain from those that were chosen: each from the one that gains it most."""
    best: dict[int, float] = {}
    for number in chosen:
        for place, gain in candidates[number].gains.items():
            best[place] = max(best.get(place, 0.0), gain)
    return sum(best.values())


def choose(candidates: Sequence[Candidate], budget: float) -> tuple[int, ...]:
    """The places of those to build, in the order of what they bring for their bytes."""
    fitting = [number for number, one in enumerate(candidates) if one.bytes <= budget and one.gains]
    if not fitting:
        return ()
    alone = sorted(fitting, key=lambda number: -total(candidates, [number]))
    starts: list[tuple[int, ...]] = [(), *((number,) for number in alone[:_STARTS])]
    walks = [_walk(candidates, fitting, start, budget, by_byte) for start in starts for by_byte in (True, False)]
    most = max(total(candidates, walk) for walk in walks)
    near = [walk for walk in walks if total(candidates, walk) >= most * _AS_GOOD]
    return min(near, key=lambda walk: (len(walk), sum(candidates[number].bytes for number in walk)))


def _walk(
    candidates: Sequence[Candidate], fitting: Sequence[int], start: tuple[int, ...], budget: float, by_byte: bool
) -> tuple[int, ...]:
    """Take what brings most, again and again, as long as there is room.

    What a candidate brings only ever gets less as others are taken, and so does the room. So one that still brings the
    most when it is looked at anew brings the most of all, and the others need no look (Minoux's lazy greedy walk).
    """
    chosen, best = list(start), _gained(candidates, start)
    room = budget - sum(candidates[number].bytes for number in start)
    least = _LEAST * total(candidates, fitting)

    def worth(number: int) -> float:
        return _more(candidates[number], best) / (max(candidates[number].bytes, 1.0) if by_byte else 1.0)

    waiting = [(-worth(number), number) for number in fitting if number not in start]
    heapify(waiting)
    while waiting:
        _, number = heappop(waiting)
        if candidates[number].bytes > room or _more(candidates[number], best) <= least:
            continue
        if waiting and (-worth(number), number) > waiting[0]:
            heappush(waiting, (-worth(number), number))
            continue
        chosen.append(number)
        room -= candidates[number].bytes
        for place, gain in candidates[number].gains.items():
            best[place] = max(best.get(place, 0.0), gain)
    return tuple(chosen)


def _more(candidate: Candidate, best: Mapping[int, float]) -> float:
    """What a candidate gains beyond what is gained already."""
    return sum(max(gain - best.get(place, 0.0), 0.0) for place, gain in candidate.gains.items())


def _gained(candidates: Sequence[Candidate], chosen: Sequence[int]) -> dict[int, float]:
    best: dict[int, float] = {}
    for number in chosen:
        for place, gain in candidates[number].gains.items():
            best[place] = max(best.get(place, 0.0), gain)
    return best

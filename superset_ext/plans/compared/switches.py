"""Rules that are switched off: at once in all processes, and until a person allows them again.

The row in the log is what holds. So that no process uses the rule until it has read that, a note of the same lies in
Redis, which is asked before each use; where Redis does not answer, nothing is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from superset_ext.cache.chart import ChartCache
from superset_ext.cache.dependencies import variants
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.errors import StoreUnavailable
from superset_ext.plans.compared.kept import Off
from superset_ext.settings import OPERATIONS

NOTED_SECONDS = 3600.0  # longer than any process takes to read the rows
Switch = tuple[int, str]  # what a rule is switched off for, by id, and the rule


class Switches:
    """What is off, as this process knows it.

    Args:
        kind: a word for what answers with another text.
        charts: returns the region of chart data; it may raise `StoreUnavailable`.
    """

    def __init__(self, kind: str, charts: Callable[[], ChartCache]) -> None:
        self._kind = kind
        self._charts = charts
        reset_on_fork(self)

    def reset(self) -> None:
        """Know nothing yet."""
        self._off: Off | None = None
        self._noted: set[Switch] = set()
        self._owed: set[Switch] = set()  # whose answers are still to be dropped

    def tag(self, number: int, rule: str) -> str:
        """What answers carry that a text gave which this rule made."""
        return f"{self._kind}:{number}:{rule}"

    def heard(self, off: Off) -> None:
        """The rows say so."""
        self._off = off
        self._noted -= off

    def allowed(self, number: int, rules: Collection[str]) -> tuple[str, ...] | None:
        """Of some rules those that are not off; `None` while nothing is known."""
        off = self._off
        if off is None:
            return None
        return tuple(rule for rule in rules if (number, rule) not in off and (number, rule) not in self._noted)

    def forbids(self, number: int, rules: Collection[str]) -> str:
        """Why rules may not be used now, after a look at what other processes have noted; empty, if they may."""
        try:
            noted = [rule for rule in rules if self._charts().kept.document(self._name(number, rule))]
        except StoreUnavailable:
            return "Redis does not answer, so it is not sure that they are not switched off"
        self._noted |= {(number, rule) for rule in noted}
        return f"{', '.join(noted)} was switched off" if noted else ""

    def note(self, number: int, rules: Collection[str]) -> None:
        """Switch rules off in all processes, and drop the answers that they gave; what fails is done by `retry`."""
        switches = {(number, rule) for rule in rules}
        self._noted |= switches
        self._owed |= switches
        self.retry()

    def allow(self, number: int, rules: Collection[str]) -> None:
        """Take back what was noted in Redis; the rows are to be gone already.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        self._noted -= {(number, rule) for rule in rules}
        for rule in rules:
            self._charts().kept.keep_document(self._name(number, rule), False, NOTED_SECONDS)

    def retry(self) -> None:
        """Do what is still to be done."""
        for number, rule in sorted(self._owed):
            tags = {self.tag(number, rule)}
            try:
                self._charts().kept.keep_document(self._name(number, rule), True, NOTED_SECONDS)
                self._charts().stamp(tags | variants(tags, OPERATIONS))
            except StoreUnavailable:
                continue
            self._owed.discard((number, rule))

    def _name(self, number: int, rule: str) -> str:
        return f"superset_ext:{self._kind}-off:{number}:{rule}"

"""Rules that are switched off for a dataset: at once in all processes, and until a person allows them again.

The row in the log is what holds. So that no process uses the rule until it has read that, a note of the same lies in
Redis, which is asked before each use; where Redis does not answer, nothing is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from superset_ext.cache.tags import object_tag
from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.errors import StoreUnavailable
from superset_ext.plans.rewrite.automatic.kept import Off

NOTED_SECONDS = 3600.0  # longer than any process takes to read the rows


def tag(dataset_id: int) -> str:
    """What answers carry that another text of a statement of this dataset gave."""
    return object_tag("rewritten", dataset_id)


class Switches:
    """What is off, as this process knows it.

    Args:
        charts: returns the region of chart data; it may raise `StoreUnavailable`.
    """

    def __init__(self, charts: Callable[[], Any]) -> None:
        self._charts = charts
        reset_on_fork(self)

    def reset(self) -> None:
        """Know nothing yet."""
        self._off: Off | None = None
        self._noted: set[tuple[int, str]] = set()
        self._owed: set[int] = set()  # datasets whose answers are still to be dropped

    def heard(self, off: Off) -> None:
        """The rows say so."""
        self._off = off
        self._noted -= off

    def allowed(self, dataset_id: int, rules: Collection[str]) -> tuple[str, ...] | None:
        """Of some rules those that are not off; `None` while nothing is known."""
        off = self._off
        if off is None:
            return None
        return tuple(rule for rule in rules if (dataset_id, rule) not in off and (dataset_id, rule) not in self._noted)

    def forbids(self, dataset_id: int, rules: Collection[str]) -> str:
        """Why rules may not be used now, after a look at what other processes have noted; empty, if they may."""
        try:
            noted = [rule for rule in rules if self._charts().document(_name(dataset_id, rule))]
        except StoreUnavailable:
            return "Redis does not answer, so it is not sure that they are not switched off"
        self._noted |= {(dataset_id, rule) for rule in noted}
        return f"{', '.join(noted)} was switched off" if noted else ""

    def note(self, dataset_id: int, rules: Collection[str]) -> None:
        """Switch rules off in all processes, and drop the answers that they gave; what fails is done by `retry`."""
        self._noted |= {(dataset_id, rule) for rule in rules}
        self._owed.add(dataset_id)
        self.retry()

    def allow(self, dataset_id: int, rules: Collection[str]) -> None:
        """Take back what was noted in Redis; the rows are to be gone already.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        self._noted -= {(dataset_id, rule) for rule in rules}
        for rule in rules:
            self._charts().keep_document(_name(dataset_id, rule), False, NOTED_SECONDS)

    def retry(self) -> None:
        """Do what is still to be done."""
        for dataset_id in sorted(self._owed):
            try:
                for off_id, rule in sorted(self._noted):
                    if off_id == dataset_id:
                        self._charts().keep_document(_name(dataset_id, rule), True, NOTED_SECONDS)
                self._charts().stamp({tag(dataset_id)})
            except StoreUnavailable:
                continue
            self._owed.discard(dataset_id)


def _name(dataset_id: int, rule: str) -> str:
    return f"superset_ext:rewrite-off:{dataset_id}:{rule}"

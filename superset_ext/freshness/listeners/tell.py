"""What every hook in Superset does with a change that it notices. None of it raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from superset_ext.core.log_database import LogDatabase
from superset_ext.core.signals import count_failure, harmless
from superset_ext.errors import NoChartRegion, StoreUnavailable
from superset_ext.freshness import outbox
from superset_ext.freshness.change import Change, Freshness, Source

Tell = Callable[[Change], None]


def telling(freshness: Freshness, database: LogDatabase | None) -> Tell:
    """A function that stamps a change, or puts it into the outbox if that fails."""

    def tell(change: Change) -> None:
        with harmless("telling of a change made in Superset"):
            try:
                freshness.changed(change)
            except NoChartRegion:
                pass  # there is nothing of ours that could be out of date
            except Exception as error:  # noqa: BLE001  (whatever it is: what is not stamped must not be lost)
                outbox.put(database, change)
                if not isinstance(error, StoreUnavailable):
                    count_failure("stamping a change made in Superset", error)

    return tell


def noticed(source: Source, work_out: Callable[[], Sequence[Change]]) -> Sequence[Change]:
    """The changes that `work_out` returns; a change of everything if it fails, so that nothing old is served."""
    try:
        return work_out()
    except Exception as error:  # noqa: BLE001  (a person's work must not fail because of ours)
        count_failure(f"working out what {source} changed", error)
        return (Change(source, "data_update", everything=True),)

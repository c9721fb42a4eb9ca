"""Statements with their values, made anew of the requests that people, or warming, have made.

The registry has these requests as they came, and as whom they were made. Each is made a statement by Superset's own
code, as that identity: with its row-level rules and its guest's, and only if Superset still lets it ask. Nothing is
sent to the source, and no statement is written anywhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from superset_ext.core.amount import amount
from superset_ext.core.log_database import LogDatabase
from superset_ext.errors import PlanError, SupersetExtError, Unanswerable
from superset_ext.host.databases import database_typed
from superset_ext.host.explaining import Asking
from superset_ext.host.made_statements import of_old_chart, of_query_context
from superset_ext.host.people import Identity
from superset_ext.host.replay import request_context, stored_query_context
from superset_ext.warm.registry.requests import ChartRequest, loaded
from superset_ext.warm.run.replay import environ_of

MOST = 2_000  # requests that are made statements of, at about 10 ms each; of each chart the most used come first


class Requests:
    """The registered requests of a database, as statements.

    Args:
        database_id: Superset's.
        days: within which they were made.
        identity: as whom all of them are asked; `None`: each as whoever has made it.
    """

    def __init__(self, app: Any, log: LogDatabase, database_id: int, days: int, identity: Identity | None) -> None:
        self._app, self._database_id, self._identity = app, database_id, identity
        self._rows = log.query("requests_of_database", {"database_id": database_id, "days": days, "most": MOST})
        self._failed: Counter[str] = Counter()

    def statements(self) -> Iterator[Asking]:
        """The statements that go to this database, one after the other.

        They are made in a thread of its own, as the end of a request ends the session of its thread with the metadata
        database, and the caller has one.
        """
        with ThreadPoolExecutor(1, "superset_ext-asked-again") as thread:
            for row in self._rows:
                yield from thread.submit(self._tried, row).result()

    def made(self) -> tuple[Iterator[Asking], Callable[[], list[str]]]:
        """The statements, and what says why others could not be made, once they were."""
        return self.statements(), self.notes

    def notes(self) -> list[str]:
        """Why requests led to no statement, a line a reason."""
        return [
            f"{amount(number, 'request')} cannot be asked again: {why}" for why, number in self._failed.most_common()
        ]

    def _tried(self, row: dict[str, Any]) -> list[Asking]:
        identity = Identity(row.pop("user_id"), _spelt(row.pop("guest")))
        try:
            return self._made(ChartRequest(**row), self._identity or identity)
        except SupersetExtError as error:
            self._failed[str(error)] += 1
        except Exception as error:  # noqa: BLE001  (rights, templates and charts are other people's)
            self._failed[f"Superset refuses or fails ({type(error).__name__})"] += 1
        return []

    def _made(self, request: ChartRequest, identity: Identity) -> list[Asking]:
        return [one for number, one in _made(self._app, request, identity) if number == self._database_id]


def of_chart(app: Any, log: LogDatabase, chart_id: int, identity: Identity | None) -> list[Asking]:
    """The statements of the request of a chart that is used most, as an identity or as whoever has made it.

    Raises:
        PlanError: no request of the chart can be made again; or it can, and Superset refuses or fails.
        LogUnavailable: the log does not answer.
    """
    rows = log.query("requests_of_chart", {"chart_id": chart_id})
    if not rows:
        raise PlanError(f"chart {chart_id} has no stored query, and nobody has opened it; open it on its dashboard")
    row = rows[0]
    asker = identity or Identity(row.pop("user_id"), _spelt(row.pop("guest")))
    request = ChartRequest(**{name: value for name, value in row.items() if name not in ("user_id", "guest")})
    with ThreadPoolExecutor(1, "superset_ext-asked-again") as thread:
        try:
            made = thread.submit(_made, app, request, asker).result()
        except Exception as error:  # noqa: BLE001  (rights, templates and charts are other people's)
            raise PlanError(f"the last request of chart {chart_id} fails ({type(error).__name__})") from None
    return [replace(one, database=database_typed(str(number))) for number, one in made]


def _made(app: Any, request: ChartRequest, identity: Identity) -> list[tuple[int, Asking]]:
    """Statements with the id of the database that each goes to, which itself ends with the request."""
    with request_context(app, environ_of(request), identity):
        return [(int(one.database.id), replace(one, database=None)) for one in _askings(request)]


def _askings(request: ChartRequest) -> list[Asking]:
    if request.body is None:
        raise Unanswerable("its filter values are not kept")
    if request.kind == "explore":
        return of_old_chart()
    if request.kind == "stored":
        return of_query_context(stored_query_context(int(request.path.rstrip("/").split("/")[-2])))
    return of_query_context(loaded(request.body))


def _spelt(guest: str | None) -> str | None:
    """A guest's claims in the registry's spelling."""
    return None if guest is None else json.dumps(json.loads(guest), sort_keys=True)

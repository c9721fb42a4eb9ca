"""What is switched on in this app: `app.extensions["superset_ext"]`, made by `install`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from superset_ext.core.log_database import LogDatabase, log_of
from superset_ext.errors import NoLogDatabase, NotSwitchedOn
from superset_ext.settings import PREFIX, Settings, current

EXTENSION = "superset_ext"


class Stoppable(Protocol):
    """Something with a thread of its own."""

    def stop(self) -> None:
        """End the thread."""
        ...


@dataclass(frozen=True)
class Package:
    """What is switched on.

    Attributes:
        settings: those of the process.
        database: the log database; `None` where there is none.
        recorder: what writes the log; `None` where nothing is logged.
        left_alone: functions of Superset that could not be wrapped, and why, one line each.
    """

    settings: Settings
    database: LogDatabase | None
    recorder: Stoppable | None
    left_alone: tuple[str, ...]

    def log(self) -> LogDatabase:
        """The log database.

        Raises:
            NoLogDatabase: there is none.
        """
        if self.database is None:
            raise NoLogDatabase(f"no log database; set {PREFIX}LOG_DATABASE_URL to a PostgreSQL URL")
        return self.database


def package() -> Package:
    """The package of the current app.

    Raises:
        NotSwitchedOn: the app runs without it.
    """
    from flask import current_app

    made = current_app.extensions.get(EXTENSION)
    if made is None:
        raise NotSwitchedOn(f"the package is not switched on; set {PREFIX}REDIS_URL")
    return made  # type: ignore[no-any-return]


def this_app() -> Any:
    """The current app itself, for threads that are not in its context."""
    from flask import current_app

    return current_app._get_current_object()  # type: ignore[attr-defined]


@contextmanager
def log_database() -> Iterator[LogDatabase | None]:
    """A log database for one Celery task, closed at its end; `None` where there is none."""
    from flask import current_app

    database = log_of(current(), current_app.config)
    if database is None:
        yield None
        return
    with closing(database):
        yield database

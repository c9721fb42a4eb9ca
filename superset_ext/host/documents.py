"""What Superset's documents are made of: what it reads for them, and what it says of the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from superset_ext.cache import used

# Functions of the configuration that such documents are made by, and that may ask anything.
_FUNCTIONS = (
    "ALLOWED_USER_CSV_SCHEMA_FUNC",
    "EXTRA_DYNAMIC_QUERY_FILTERS",
    "THUMBNAIL_CHART_DIGEST_FUNC",
    "THUMBNAIL_DASHBOARD_DIGEST_FUNC",
)


def clocked(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Have it be noted what is said of the clock, of a request that is watched."""

    @wraps(stock)
    def _format_time_humanized(self: Any, timestamp: datetime) -> str:
        words: str = stock(self, timestamp)
        noted = used.watched.get()
        if noted is not None:
            noted.moments.append((timestamp, str(words)))
        return words

    return _format_time_humanized


def age(moment: datetime) -> str:
    """How long ago a moment is now, as Superset says it in the language of the current request."""
    from superset.models.helpers import AuditMixinNullable

    return str(AuditMixinNullable._format_time_humanized(None, moment))


def own_function(config: Any) -> str | None:
    """A function that a config has in the place of Superset's, and that may decide what a document says."""
    from superset import config as stock

    return next((name for name in _FUNCTIONS if config.get(name) != getattr(stock, name)), None)


def is_clocked() -> bool:
    """Whether what Superset says of the clock is noted; it is not where a seam has stepped aside."""
    from superset.models.helpers import AuditMixinNullable

    return hasattr(AuditMixinNullable._format_time_humanized, "__wrapped__")


def watch_reads(engine: Any) -> None:
    """Note from now on what is sent to the metadata database, whose engine this is, for a request that is watched."""
    from sqlalchemy import event

    def sent(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        noted = used.watched.get()
        if noted is not None and noted.statements is not None:
            noted.statements.append(statement)

    event.listen(engine, "before_cursor_execute", sent)


def told_of_connections(engine: Any) -> Any:
    """An engine of a source; where it was made for a document that is watched, it tells when it connects."""
    from sqlalchemy import event

    noted = used.watched.get()
    if noted is not None and noted.statements is not None:
        event.listen(engine, "do_connect", _connecting)
    return engine


def _connecting(*_: Any) -> None:
    used.spoil("a source was asked")

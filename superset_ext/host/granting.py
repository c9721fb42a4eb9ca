"""What of Superset's own code an answer that is given again depends on: its log, its time ranges, its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any

from flask import g
from sqlalchemy import inspect
from sqlalchemy.orm.attributes import set_committed_value
from werkzeug.local import LocalProxy

from superset_ext.cache import used
from superset_ext.cache.used import Used
from superset_ext.core.signals import count_failure, harmless

_ARGUMENTS = (
    "user_id",
    "action",
    "dashboard_id",
    "duration_ms",
    "slice_id",
    "referrer",
)  # of an event logger, in order
_RECORDING = ("log_with_context", "log_context", "_wrapper", "__call__", "__enter__", "__exit__")


def event_logger() -> Any:
    """Superset's event logger, whichever is configured."""
    from superset.extensions import event_logger as proxy

    return proxy._get_current_object()


def is_stock_logger(logger: Any) -> bool:
    """Whether an event logger writes the rows of `logs` that Superset's own does: that one, or ours."""
    from superset.utils.log import DBEventLogger

    from superset_ext.host.event_logger import BatchedEventLogger

    return type(logger) in (DBEventLogger, BatchedEventLogger)


def makes_own_records(logger: Any) -> bool:
    """Whether an event logger does more with what happens than to log what Superset gives it."""
    from superset.utils.log import AbstractEventLogger

    return any(getattr(type(logger), name) is not getattr(AbstractEventLogger, name) for name in _RECORDING)


class _Noted:
    """An event logger whose records are noted on their way to it, while Superset makes them."""

    def __init__(self, logger: Any, noted: Used) -> None:
        self._logger = logger
        self._noted = noted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def log(self, *args: Any, **kwargs: Any) -> None:
        if self._noted.spoiled is not None:  # nothing of it will be kept
            self._logger.log(*args, **kwargs)
            return
        with harmless("noting what Superset logs"):
            record = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
            self._noted.records += self._noted.keep(record)
        self._logger.log(*args, **kwargs)


def logged(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Have what is logged of a request that is watched be noted, whichever event logger takes it.

    Superset takes the number of the user first. Where the request has committed something, SQLAlchemy has forgotten it
    with all else, and would read the user again; it is the identity by which it would do so.
    """

    @wraps(stock)
    def log_with_context(self: Any, *args: Any, **kwargs: Any) -> Any:
        _know_number()
        noted = used.watched.get()
        return stock(self if noted is None else _Noted(self, noted), *args, **kwargs)

    return log_with_context


def _know_number() -> None:
    """Have the number of this request's user at hand, if the user was read and is in the session."""
    try:
        is_of_login = type(g.get("user")) is LocalProxy  # which looks who it is
        user = g.get("_login_user" if is_of_login else "user")
        state = None if user is None else inspect(user, raiseerr=False)
        if state is not None and state.persistent and "id" in state.expired_attributes:
            set_committed_value(user, "id", state.identity[0])
    except Exception as error:  # noqa: BLE001  (Superset reads the user then)
        count_failure("knowing the user of an event", error)


def log_json(record: Any) -> str | None:
    """A record as Superset's own event logger writes it; `None` where it leaves it out."""
    from superset.utils import json

    try:
        return str(json.dumps(record))
    except Exception:  # noqa: BLE001  (the logger takes any for that)
        return None


def metadata_engine(app: Any) -> Any:
    """SQLAlchemy's engine of the metadata database."""
    from superset.extensions import db

    with app.app_context():
        return db.engine


def has_read_metadata() -> bool:
    """Whether this request has a transaction with the metadata database by now, or knows somebody by an earlier one."""
    from superset.extensions import db

    return "_login_user" in g or bool(db.session.registry.has() and db.session().in_transaction())


def complete_configuration() -> None:
    """Have Superset put into the current app's configuration what it does at the first use of a template."""
    from superset.jinja_context import get_template_processors

    get_template_processors()


def is_enabled(flag: str) -> bool:
    """Whether a feature flag is set."""
    from superset import is_feature_enabled

    return bool(is_feature_enabled(flag))


def bounds(words: Mapping[str, str | None]) -> tuple[datetime | None, datetime | None]:
    """From when until when a time range goes, as of now.

    Raises:
        Exception: what is written does not read.
    """
    from superset.utils.date_parser import get_since_until

    since, until = get_since_until(**words)
    return since, until


def epoch(moment: datetime) -> float:
    """A moment as answers of charts have it."""
    from superset.utils.dates import datetime_to_epoch

    return float(datetime_to_epoch(moment))


def rule_clauses() -> list[str]:
    """The clauses of all row-level rules, and of the current guest's: SQL may read any table that has one."""
    from superset.connectors.sqla.models import RowLevelSecurityFilter
    from superset.extensions import db

    from superset_ext.host.services import security_manager

    clauses = [clause for (clause,) in db.session.query(RowLevelSecurityFilter.clause)]
    guest = security_manager.get_current_guest_user_if_guest()
    rules = guest.guest_token.get("rls_rules") or () if guest is not None else ()
    return [*clauses, *(str(rule.get("clause") or "") for rule in rules)]

"""One tree of errors; every message is one line that names the fix."""

from __future__ import annotations


class SupersetExtError(Exception):
    """Base of everything that this package raises on purpose."""


class SettingsError(SupersetExtError):
    """A setting is unknown, malformed, or contradicts another one."""


class CodecError(SupersetExtError):
    """A value cannot be encoded, or bytes cannot be decoded."""


class EnvelopeError(SupersetExtError):
    """Stored bytes are not an entry that this version may read."""


class BadSignature(EnvelopeError):
    """Stored bytes were not written by a holder of the secret key."""


class StoreUnavailable(SupersetExtError):
    """Redis did not answer within its budget, refused, or the circuit is open."""


class NoChartRegion(StoreUnavailable):
    """The config keeps charts in a cache of its own, which knows no changes."""


class NotSwitchedOn(SupersetExtError):
    """The app runs without the package."""


class NoLogDatabase(SupersetExtError):
    """No log database is set, and the metadata database cannot be one."""


class SchemaError(SupersetExtError):
    """The log database is not what the numbered files of `sql/schema` made it."""


class LogUnavailable(SupersetExtError):
    """The log database did not answer, or refused a statement.

    Attributes:
        cause: class of the driver's error, free of secrets.
        sqlstate: PostgreSQL's code of it, where the server gave one.
    """

    def __init__(self, message: str, cause: str = "", sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.sqlstate = sqlstate


class WarmError(SupersetExtError):
    """A warming run cannot be started, does not exist, or failed."""


class MetadataSilent(SupersetExtError):
    """The metadata database did not say, or not soon."""


class Unanswerable(SupersetExtError):
    """Superset cannot answer a request as the user it is made as, and a second attempt would not change that."""


class ChangeError(SupersetExtError):
    """What is said to have changed is not known, or could not be told to the caches."""


class UnknownDatabase(SupersetExtError):
    """Superset has no database of this name or id."""


class WatchError(SupersetExtError):
    """A table cannot be watched, or its watch cannot be removed."""


class WatchForbidden(WatchError):
    """A role of the source may not do what was to be done there."""


class AdviceError(SupersetExtError):
    """Nothing can be advised for a source: it is of another kind, or does not answer."""


class NoScratch(AdviceError):
    """No server can be run here on which indexes are costed, or it has failed."""


class StackError(SupersetExtError):
    """The embedded stack cannot start or go on."""


class PlanError(SupersetExtError):
    """A query cannot be explained.

    Attributes:
        cause: class of the source's error, free of values; empty where it was not asked.
    """

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class Redefined(PlanError):
    """What a text was made from does not hold any more: a table in it has been defined anew."""


class NotAllowed(SupersetExtError):
    """Superset would not let the current user do this."""


class SourceBusy(PlanError):
    """So many queries are under way on a source that no plan is taken."""


class AggregateRefused(SupersetExtError):
    """An aggregate cannot be proven to answer a statement; the message says why, and repeats no value."""


class AggregateError(SupersetExtError):
    """An aggregate cannot be built, refreshed, checked or dropped, or there is none of this name."""


class NotHeld(AggregateError):
    """An aggregate may not be read for a statement now; the message says why, and repeats no value.

    Attributes:
        passing: whether that passes by itself before long.
    """

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing

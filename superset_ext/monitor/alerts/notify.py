"""Tells people of alerts: to plain e-mail addresses by Superset's own mail server, to all else through Apprise.

A notice is a row until every address has it. What fails is tried again later and later, to those alone that have not
had it; of one alert the end is not told before the begin. Addresses hold tokens: in the table they are keyed
hashes, and what Apprise and urllib3 log of them is dropped.
"""

from __future__ import annotations

import hmac
import logging
import re
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from superset_ext.core.fork_reset import reset_on_fork
from superset_ext.core.log_database import LogDatabase
from superset_ext.core.sql_folder import query_text
from superset_ext.core.warn_once import warn
from superset_ext.settings import PREFIX

SETTING = f"{PREFIX}ALERT_URLS"
MAIL_SECONDS = 10.0  # of silence that a mail server may last
LEASE_SECONDS = 300  # after which another process takes a notice over
ROUND_SECONDS = 120.0  # after which the rest is left to the next round
FIRST_WAIT, LONGEST_WAIT = 60, 3600  # seconds before a try; each failure doubles them
GIVE_UP_DAYS = 3
_ADDRESS = re.compile(r"[^@\s:/]+@[^@\s:/]+")
_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
_DONE = """
UPDATE superset_ext.performance_alert_notice SET done_at = now(), delivered_to = %(delivered_to)s,
    error = %(error)s WHERE id = %(id)s
"""
_AGAIN = """
UPDATE superset_ext.performance_alert_notice SET delivered_to = %(delivered_to)s, error = %(error)s,
    not_before = now() + make_interval(secs => %(wait)s)
WHERE id = %(id)s
"""
_TOLD = {
    what: f"""
UPDATE superset_ext.performance_alert
SET error = %(error)s, {column} = CASE WHEN %(error)s::text IS NULL THEN now() ELSE {column} END
WHERE id = %(alert)s
"""  # noqa: S608  (only names)
    for what, column in (("fired", "notified_at"), ("resolved", "resolved_notified_at"))
}
_NOBODY = "UPDATE superset_ext.performance_alert_notice SET done_at = now() WHERE done_at IS NULL"


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of a round: notices that all addresses have, and those that are tried again or were given up."""

    done: int = 0
    waiting: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Outbox:
    """Where notices go.

    Attributes:
        addresses: Apprise's URLs, and plain e-mail addresses.
        mail: Superset's config, for its `SMTP_…` settings.
        secret: Superset's `SECRET_KEY`, by which addresses are hashed.
    """

    addresses: Sequence[str]
    mail: Mapping[str, Any]
    secret: str | bytes

    def __repr__(self) -> str:
        return f"Outbox({len(self.addresses)} addresses)"


@dataclass(frozen=True, slots=True)
class _Notice:
    id: int
    alert_id: int
    event: str
    severity: str
    title: str
    body: str
    delivered_to: list[str]
    attempts: int
    is_last: bool


def deliver(database: LogDatabase, outbox: Outbox) -> Delivered:
    """Send what is due. Any number of processes may do so at once.

    Where there is no address, nobody is told, and nothing is kept for one that may come.

    Raises:
        LogUnavailable: see `LogDatabase.transaction`; what was sent may be sent once more.
    """
    if not outbox.addresses:
        with database.transaction() as cursor:
            cursor.execute(_NOBODY)
        return Delivered()
    done = waiting = given_up = 0
    until = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < until and (notice := _claimed(database)):
        delivered_to, error = _told(outbox, notice)
        _settle(database, notice, delivered_to, error)
        done += error is None
        given_up += error is not None and notice.is_last
        waiting += error is not None and not notice.is_last
    return Delivered(done, waiting, given_up)


def send(outbox: Outbox, title: str, body: str, severity: str = "info") -> dict[int, str]:
    """Send something to all addresses at once, as a trial; what went wrong, by the address's number from 1."""
    failed = {number: _sent(outbox, address, title, body, severity) for number, address in _numbered(outbox)}
    return {number: f"{_named(outbox, number)} {error}" for number, error in failed.items() if error}


def _claimed(database: LogDatabase) -> _Notice | None:
    with database.transaction() as cursor:
        cursor.execute(query_text("alert_notice_claimed"), (LEASE_SECONDS, GIVE_UP_DAYS))
        row = cursor.fetchone()
    return None if row is None else _Notice(*row)


def _told(outbox: Outbox, notice: _Notice) -> tuple[list[str], str | None]:
    """Send a notice to the addresses that do not have it; the hashes of all that have, and the first failure."""
    delivered_to, failed = list(notice.delivered_to), []
    for number, address in _numbered(outbox):
        hashed = _hash(outbox, address)
        if hashed in delivered_to:
            continue
        error = _sent(outbox, address, notice.title, notice.body, notice.severity, notice.event == "resolved")
        if error is None:
            delivered_to.append(hashed)
        else:
            failed.append(f"{_named(outbox, number)} {error}")
    return delivered_to, failed[0] if failed else None


def _settle(database: LogDatabase, notice: _Notice, delivered_to: list[str], error: str | None) -> None:
    wait = min(FIRST_WAIT * 2 ** min(notice.attempts - 1, 20), LONGEST_WAIT)
    values = {"id": notice.id, "alert": notice.alert_id, "delivered_to": delivered_to, "error": error, "wait": wait}
    is_over = error is None or notice.is_last
    with database.transaction() as cursor:
        cursor.execute(_DONE if is_over else _AGAIN, values)
        cursor.execute(_TOLD[notice.event], values)
    if error is not None:
        then = "it is given up" if is_over else f"it is tried again in {wait} s"
        warn("notify", "a notice of an alert could not be sent: %s; %s", error, then)


def _numbered(outbox: Outbox) -> Iterator[tuple[int, str]]:
    return iter(enumerate(outbox.addresses, 1))


def _named(outbox: Outbox, number: int) -> str:
    address = outbox.addresses[number - 1]
    kind = "e-mail" if _ADDRESS.fullmatch(address) else (address.partition("://")[0] if "://" in address else "?")
    return f"number {number} of {SETTING} ({kind[:20]})"


def _hash(outbox: Outbox, address: str) -> str:
    secret = outbox.secret.encode() if isinstance(outbox.secret, str) else outbox.secret
    return hmac.new(secret, b"superset_ext alert " + address.encode(), "sha256").hexdigest()[:32]


def _sent(outbox: Outbox, address: str, title: str, body: str, severity: str, is_over: bool = False) -> str | None:
    """Send to one address; what went wrong, without the address."""
    with _silence.kept():
        try:
            if _ADDRESS.fullmatch(address):
                return _mailed(outbox.mail, address, title, body)
            return _apprised(address, title, body, "success" if is_over else _TYPES.get(severity, "info"))
        except Exception as error:  # noqa: BLE001  (a plugin may raise anything, with the address in its text)
            return f"failed ({type(error).__name__})"


def _apprised(address: str, title: str, body: str, kind: str) -> str | None:
    try:
        import apprise
    except ModuleNotFoundError:
        return "needs Apprise; run: pip install apprise"
    to = apprise.Apprise()
    if not to.add(address):
        return "is no URL that Apprise knows; see https://github.com/caronc/apprise/wiki"
    if to.notify(body=body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
        return None
    return "did not answer, or refused; check its server and its token"


def _mailed(config: Mapping[str, Any], address: str, title: str, body: str) -> str | None:
    message = EmailMessage()
    message["Subject"], message["To"], message["From"] = title, address, config["SMTP_MAIL_FROM"]
    message["Date"] = formatdate(localtime=True)
    message.set_content(body)
    try:
        with _server(config) as server:
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        code = getattr(error, "smtp_code", "")
        return f"was not sent ({type(error).__name__}{f' {code}' if code else ''}); check SMTP_HOST and its like"
    return None


@contextmanager
def _server(config: Mapping[str, Any]) -> Iterator[smtplib.SMTP]:
    """Superset's mail server, as Superset's own reports use it, but not waited for without end."""
    host, port = str(config["SMTP_HOST"]), int(config["SMTP_PORT"])
    context = ssl.create_default_context() if config.get("SMTP_SSL_SERVER_AUTH") else None
    server = (
        smtplib.SMTP_SSL(host, port, timeout=MAIL_SECONDS, context=context)
        if config.get("SMTP_SSL")
        else smtplib.SMTP(host, port, timeout=MAIL_SECONDS)
    )
    with server:
        if config.get("SMTP_STARTTLS"):
            server.starttls(context=context)
        if config.get("SMTP_USER") and config.get("SMTP_PASSWORD"):
            server.login(str(config["SMTP_USER"]), str(config["SMTP_PASSWORD"]))
        yield server


class _Silence(logging.Filter):
    """Drops what a library says of addresses: Apprise always, since nobody else uses it and a thread of its own may be
    late, and urllib3 while something is sent."""

    def __init__(self) -> None:
        super().__init__()
        reset_on_fork(self)

    def reset(self) -> None:
        """Nothing is being sent; another thread of a parent may have been sending."""
        self._lock = threading.Lock()
        self._sending = 0

    def filter(self, record: logging.LogRecord) -> bool:
        return not (self._sending or record.name == "apprise")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within this something is sent."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)  # which is added once, however often that is asked
        with self._lock:
            self._sending += 1
        try:
            yield
        finally:
            with self._lock:
                self._sending -= 1


_silence = _Silence()

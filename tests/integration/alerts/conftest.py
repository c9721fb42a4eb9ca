"""A log with alerts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

import pytest

from superset_ext.compat import UTC
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.alerts import notify
from testing import alerts
from testing.alert_cases import with_days
from testing.databases import Databases
from testing.mailbox import MailServer, serving


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases.copy("log_with_days", with_days) as made:
        yield made


@pytest.fixture
def database(url: str) -> Iterator[LogDatabase]:
    with closing(LogDatabase(url)) as made:
        yield made


# Telling people.


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are written around the time of the test, however long ago it was collected."""
    monkeypatch.setattr(alerts, "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail server may take as long as a test machine may be busy."""
    monkeypatch.setattr(notify, "MAIL_SECONDS", 120.0)


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with serving(MailServer()) as server:
        yield server

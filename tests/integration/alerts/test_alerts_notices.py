"""Notices of alerts: to whom, when again, and when no more."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.alerts import evaluate as alerts
from superset_ext.monitor.alerts import notify
from superset_ext.monitor.alerts.notify import Delivered, Outbox
from testing.alert_cases import END, evaluate, good, poor
from testing.alerts import (
    memory,
    write,
)  # fmt: skip
from testing.mailbox import PASSWORD, USER, HookServer, MailServer, serving

TOKEN = "T0KEN-that-nobody-may-see"


PATIENT = "?rto=120&cto=120"  # seconds that Apprise waits for a hook


@pytest.fixture
def port() -> Iterator[int]:
    """Where nobody listens until the test does; nobody else is given it."""
    with closing(socket.socket()) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield int(kept.getsockname()[1])


def outbox(mail: MailServer, *addresses: str) -> Outbox:
    return Outbox(addresses, mail.config, "a secret key")


def due(database: LogDatabase) -> None:
    """As if the wait were over."""
    write(database, "UPDATE superset_ext.performance_alert_notice SET not_before = now()")


def everything(database: LogDatabase) -> str:
    return str(database.rows("SELECT n.*::text FROM performance_alert_notice n")) + str(
        database.rows("SELECT a.*::text FROM performance_alert a")
    )


def test_people_are_told_by_mail_and_hook(database: LogDatabase, mail: MailServer) -> None:
    """Intent: a plain address is mailed by Superset's own server, a URL through Apprise; the end is told too, once."""
    with serving(HookServer()) as hook:
        to = outbox(mail, "ops@example.org", f"json://127.0.0.1:{hook.server_port}/{TOKEN}{PATIENT}")
        poor(database)
        evaluate(database)
        assert notify.deliver(database, to) == Delivered(done=1)
        good(database)
        evaluate(database, END)
        assert notify.deliver(database, to) == Delivered(done=1)
        assert notify.deliver(database, to) == Delivered()
        posts = hook.posts
    assert [(post["title"], post["type"]) for post in posts] == [
        ("Warning: Low hit ratio of charts", "warning"),
        ("Resolved: Low hit ratio of charts", "success"),
    ]
    assert posts[0]["message"] == "Hit ratio of chart_data: 30 % in 15 minutes (alert: under 70 %; 140 misses)"
    assert [(to, str(mail["Subject"])) for to, mail in mail.mails] == [
        ("ops@example.org", "Warning: Low hit ratio of charts"),
        ("ops@example.org", "Resolved: Low hit ratio of charts"),
    ]
    assert "30 %" in str(mail.mails[0][1].get_payload())
    assert mail.logins[0] == f"\0{USER}\0{PASSWORD}"
    [row] = alerts.recent(database)
    assert row["notified_at"] and row["resolved_notified_at"] and row["error"] is None


def test_what_fails_is_told_later_to_those_who_missed_it(
    database: LogDatabase, mail: MailServer, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Intent: a hook that is down gets begin and end, in order, once it is up; whoever was told is not told twice; the
    waits grow; no token is in the log, at whatever level, or in a table."""
    caplog.set_level(logging.DEBUG)
    to = outbox(mail, f"json://127.0.0.1:{port}/{TOKEN}{PATIENT}", "ops@example.org")
    poor(database)
    evaluate(database)
    assert notify.deliver(database, to) == Delivered(waiting=1)
    assert notify.deliver(database, to) == Delivered()
    assert "number 1 of SUPERSET_EXT_ALERT_URLS (json)" in alerts.recent(database)[0]["error"]
    good(database)
    evaluate(database, END)
    for wait in (120, 240, 480):
        due(database)
        [before] = database.rows("SELECT now() AS at")
        assert notify.deliver(database, to) == Delivered(waiting=1)
        [row] = database.rows("SELECT not_before, now() AS at FROM performance_alert_notice WHERE event = 'fired'")
        assert before["at"] <= row["not_before"] - timedelta(seconds=wait) <= row["at"]
    with serving(HookServer(port)) as hook:
        due(database)
        assert notify.deliver(database, to) == Delivered(done=2)
        titles = [post["title"].partition(":")[0] for post in hook.posts]
    assert titles == ["Warning", "Resolved"]
    assert [str(message["Subject"]).partition(":")[0] for _, message in mail.mails] == ["Warning", "Resolved"]
    [row] = alerts.recent(database)
    assert row["notified_at"] and row["resolved_notified_at"] and row["error"] is None
    for secret in (TOKEN, PASSWORD, "ops@example.org", str(port)):
        assert secret not in everything(database) + caplog.text + repr(to)


def test_a_mail_server_that_is_down_is_tried_again(database: LogDatabase, port: int) -> None:
    """Intent: the same for mail, and it says which settings to look at."""
    down = MailServer(port)
    down.server_close()
    to = outbox(down, "ops@example.org")
    poor(database)
    evaluate(database)
    assert notify.deliver(database, to) == Delivered(waiting=1)
    assert "was not sent (ConnectionRefusedError); check SMTP_HOST" in alerts.recent(database)[0]["error"]
    with serving(MailServer(port)) as server:
        due(database)
        assert notify.deliver(database, to) == Delivered(done=1)
        assert len(server.mails) == 1


def test_a_hook_that_never_answers_holds_up_no_evaluation(database: LogDatabase, mail: MailServer) -> None:
    """Intent: while a notice hangs, rules are evaluated as ever."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        to = outbox(mail, f"json://127.0.0.1:{silent.getsockname()[1]}/{PATIENT}")
        poor(database)
        evaluate(database)
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(notify.deliver, database, to)
            taken, _ = silent.accept()
            good(database)
            assert [event.kind for event in evaluate(database, END)] == ["resolved"]
            assert not hanging.done()
            taken.close()
            assert hanging.result(120) == Delivered(waiting=1)


def test_many_who_deliver_send_once(url: str, database: LogDatabase, mail: MailServer) -> None:
    """Intent: a notice has one process at a time."""
    memory(database, 0, 950)
    poor(database)
    evaluate(database)
    others = [LogDatabase(url) for _ in range(5)]
    to = outbox(mail, "ops@example.org")
    with ThreadPoolExecutor(len(others)) as pool:
        rounds = list(pool.map(lambda own: notify.deliver(own, to), others))
    for own in others:
        own.close()
    assert sum(delivery.done for delivery in rounds) == len(mail.mails) == 3


def test_without_addresses_nothing_is_kept(database: LogDatabase, mail: MailServer) -> None:
    """Intent: an address that is set later does not get the alerts of the weeks before."""
    poor(database)
    evaluate(database)
    assert notify.deliver(database, outbox(mail)) == Delivered()
    assert notify.deliver(database, outbox(mail, "ops@example.org")) == Delivered()
    assert mail.mails == []


def test_what_cannot_be_told_for_days_is_given_up(database: LogDatabase, mail: MailServer) -> None:
    """Intent: a wrong URL does not pile up notices for ever, and says what is wrong."""
    poor(database)
    evaluate(database)
    write(database, "UPDATE superset_ext.performance_alert_notice SET created_at = now() - interval '4 days'")
    to = outbox(mail, f"nosuch://{TOKEN}")
    assert notify.deliver(database, to) == Delivered(given_up=1)
    due(database)
    assert notify.deliver(database, to) == Delivered()
    [row] = alerts.recent(database)
    assert "is no URL that Apprise knows" in row["error"]
    assert row["notified_at"] is None
    assert TOKEN not in everything(database)


def test_a_trial_says_what_is_wrong_with_each(mail: MailServer) -> None:
    """Intent: whoever sets addresses can try them."""
    to = outbox(mail, "ops@example.org", f"nosuch://{TOKEN}")
    assert notify.send(to, "Trial", "Hello") == {
        2: "number 2 of SUPERSET_EXT_ALERT_URLS (nosuch) is no URL that Apprise knows; see "
        "https://github.com/caronc/apprise/wiki"
    }
    assert [str(message["Subject"]) for _, message in mail.mails] == ["Trial"]

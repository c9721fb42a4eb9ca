"""Whether watched tables are listened to: what `superset perf status` and the doctor say of a real source."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import make_url

from superset_ext.core.log_database import SQL
from superset_ext.doctor.freshness import check_watches
from superset_ext.freshness.watch.schema import FILES
from superset_ext.freshness.watch.service import say
from superset_ext.freshness.watch.watched import LISTENER
from superset_ext.host.regions import chart_region
from superset_ext.uninstall import _remove_watches
from testing.in_process import InProcess
from testing.watches import CATALOG, SALES, TITLE, connected, run


def status(app: InProcess) -> str:
    """The line about what is watched, if there is one."""
    done = app.perf("status")
    assert done.exit_code == 0, done.output
    return "".join(re.findall("^Watched:.*$", done.stdout, re.M))


def doctor(app: InProcess) -> list[tuple[str, str, str]]:
    with app.app.app_context():
        return [(one.level, one.message, one.fix) for one in check_watches(app.app, app.package)]


def heard(app: InProcess, number: str, seconds_ago: float) -> None:
    """Let the last word of a listener be from so long ago, by the server's clock."""
    with app.app.app_context():
        say(int(number), [SALES], hears=True)
        store = chart_region(app.app)._store
        until_us = store.clock().time_us + int((30 - seconds_ago) * 1e6)
        store.ask([(store.names.heard, ("HSET", store.names.heard, number, until_us))])


def test_status_and_doctor_say_whether_a_listener_is_heard(
    superset_app: InProcess, warehouse: Callable[[str], str], database_url: str
) -> None:
    """Intent: never heard, heard, and silent for long are three things, in both commands; unwatched says nothing."""
    number = warehouse(database_url)
    assert status(superset_app) == "" and doctor(superset_app) == []
    assert superset_app.perf("watch", "add", TITLE, "sales").exit_code == 0
    assert status(superset_app).endswith(
        f"1 table of {TITLE} (id {number}); its listener was never heard; start: superset perf listen"
    )
    nobody = f"{TITLE}: public.sales is watched and nobody listens, so "
    assert doctor(superset_app) == [("error", nobody + "its changes are not noticed", "start: superset perf listen")]
    heard(superset_app, number, 600)
    assert doctor(superset_app) == [("error", nobody + "its charts are not kept", "start: superset perf listen")]
    with connected(database_url, application_name=LISTENER):
        ((level, message, fix),) = doctor(superset_app)
        assert level == "error" and fix == "see the log of: superset perf listen"
        assert re.search(r"its listener was last heard [6-9]\d\d s ago, so its charts are not kept$", message)
        assert re.search(r"last heard [6-9]\d\d s ago, so charts on them are not kept; start: ", status(superset_app))
        heard(superset_app, number, -25)  # a listener that was heard, however slow this machine is
        assert doctor(superset_app) == [("fine", f"{TITLE}: public.sales is watched", "")]
        assert re.search(r"its listener was heard \d+ s ago\.$", status(superset_app))
    (row,) = json.loads(superset_app.perf("status", "--json").stdout)["watched"]
    assert (row["database_id"], row["tables"]) == (int(number), 1) and row["heard_seconds_ago"] < 30
    assert superset_app.perf("watch", "remove", TITLE, "--all").exit_code == 0
    assert status(superset_app) == ""


def test_uninstalling_says_how_an_administrator_s_watch_is_removed(
    superset_app: InProcess, warehouse: Callable[[str], str], source: Any, role: Callable[..., Any], database_url: str
) -> None:
    """Intent: what Superset's role may not remove is left with the command that removes it, and that leaves nothing."""
    before = run(source, CATALOG)
    for path in FILES:
        run(source, path.read_text())
    run(source, "SELECT superset_ext_watch.add('sales')")
    name = role().info.user
    run(source, "SELECT superset_ext_watch.allow(%s)", name)
    url = make_url(database_url).set(username=name, password="x")
    number = warehouse(url.render_as_string(hide_password=False))
    assert superset_app.perf("watch", "add", TITLE, "sales").exit_code == 0
    database = superset_app.package.database
    assert database is not None
    with superset_app.app.app_context():
        (step,) = _remove_watches(database)
    assert not step.removed and step.text.startswith(f"The watches of {TITLE} (id {number}) belong to another role")
    (file,) = re.findall(r'psql "\$SOURCE" -f sql/(watch/\S+\.sql)$', step.text)
    run(source, (SQL / file).read_text())
    assert run(source, CATALOG) == before

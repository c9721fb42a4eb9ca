"""Superset with its metadata on MariaDB, with the package and without: what is said, kept, dropped and refused."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.valkey import Valkey
from testing.databases import quick_folder
from testing.mariadb import AS_MYSQL, CONFIG, MariaDB, mariadb_in
from testing.programs import program
from testing.serving import ROOT, Client, web
from testing.warming import until

pytestmark = [pytest.mark.marathon, pytest.mark.timeout(900)]
STOCK = f"""{CONFIG}
import os
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_EXT_DATABASE_URL"]
CELERY_CONFIG = None
TALISMAN_ENABLED = RATELIMIT_ENABLED = False
FAB_PASSWORD_HASH_METHOD = "pbkdf2:sha256:1000"
"""
# A request may wait between what it reads of its dataset and what it asks the cache.
OURS = f"""{STOCK}
def FLASK_APP_MUTATOR(app):
    import time
    from functools import wraps
    from flask import request
    from superset.connectors.sqla.models import SqlaTable
    own = SqlaTable.get_extra_cache_keys
    @wraps(own)
    def get_extra_cache_keys(self, query_obj):
        keys = own(self, query_obj)
        time.sleep(float(request.headers.get("X-Wait", 0)))
        return keys
    SqlaTable.get_extra_cache_keys = get_extra_cache_keys
from superset_ext.config import *
"""
ADMIN, READER = "admin", "reader"
ORDERS = "CREATE TABLE shop.orders AS SELECT 'north' region, 10 amount UNION ALL SELECT 'south', 20"


@dataclass
class Site:
    """Two web servers over one MariaDB, and a dataset that a reader may see."""

    server: MariaDB
    env: Mapping[str, str]
    ours: str
    stock: str
    folder: Path
    database: int = 0
    dataset: int = 0

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return superset(self.folder, self.env, *words)

    def asked(self, client: Client, wait: float = 0.0) -> tuple[int, Any, bool]:
        """The status of a chart on the dataset, its sum, and whether it came from the cache."""
        query = {"columns": [], "metrics": [metric("SUM(amount)")], "row_limit": 10}
        body = {"datasource": {"id": self.dataset, "type": "table"}, "queries": [query]}
        answer = client.post("/api/v1/chart/data", json=body, headers={"X-Wait": str(wait)})
        if not answer.ok:
            return answer.status_code, None, False
        (result,) = answer.json()["result"]
        return answer.status_code, int(result["data"][0]["total"]), bool(result["is_cached"])


def metric(sql: str) -> dict[str, str]:
    return {"expressionType": "SQL", "sqlExpression": sql, "label": "total"}


def superset(folder: Path, env: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, **env, "SUPERSET_CONFIG_PATH": str(folder / "ours.py"), "PYTHONPATH": str(ROOT)}
    # A migration imports another file of its folder, which a fork does not find.
    command = [str(program("superset", real=words[0] == "db")), *words]
    return subprocess.run(command, env=whole, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey) -> Iterator[Site]:
    """Superset, initialised as an administrator does, and its two servers."""
    folder = tmp_path_factory.mktemp("on_mariadb")
    (folder / "ours.py").write_text(OURS)
    (folder / "stock.py").write_text(STOCK)
    with ExitStack() as stack:
        server = stack.enter_context(mariadb_in(stack.enter_context(quick_folder(folder)), AS_MYSQL))
        env = {
            "SUPERSET_EXT_DATABASE_URL": server.create_database("superset"),
            "SUPERSET_EXT_REDIS_URL": shared_valkey.url,
            "SUPERSET_SECRET_KEY": "the secret of the tests, long enough for a key",
            "SUPERSET_HOME": str(folder),
        }
        names = "--username", ADMIN, "--firstname", "a", "--lastname", "b", "--email", "a@b.org", "--password", ADMIN
        for words in (["db", "upgrade"], ["fab", "create-admin", *names], ["init"]):
            done = superset(folder, env, *words)
            assert done.returncode == 0, done.stderr[-3000:]
        urls = [stack.enter_context(web(folder / f"{name}.py", env)) for name in ("ours", "stock")]
        made = Site(server, env, urls[0], urls[1], folder)
        fill(made)
        yield made


def fill(site: Site) -> None:
    """A source on the same server, a dataset of it, and somebody who may see that alone."""
    site.server.create_database("shop")
    site.server.run(ORDERS)
    admin = Client(site.ours, ADMIN, ADMIN)

    def made(path: str, **body: Any) -> int:
        answer = admin.post(f"/api/v1/{path}", json=body)
        assert answer.ok, answer.text
        return int(answer.json()["id"])

    site.database = made("database/", database_name="shop", sqlalchemy_uri=site.server.url("shop"), allow_dml=True)
    site.dataset = made("dataset/", database=site.database, schema="shop", table_name="orders")
    role = made("security/roles/", name=READER)
    (gamma,) = site.server.run("SELECT id FROM ab_role WHERE name = 'Gamma'", "superset")[0]
    names = {"username": READER, "first_name": "r", "last_name": "r", "email": "r@b.org", "password": READER}
    made("security/users/", **names, active=True, roles=[gamma, role])
    allowed = admin.post(f"/api/v1/security/roles/{role}/permissions", json={"permission_view_menu_ids": [right(site)]})
    assert allowed.ok, allowed.text


def right(site: Site) -> int:
    """The number of the right to see the dataset."""
    named = f"v.name LIKE '%(id:{site.dataset})' AND p.name = 'datasource_access'"
    of = "ab_permission_view pv JOIN ab_view_menu v ON v.id = view_menu_id JOIN ab_permission p ON p.id = permission_id"
    ((number,),) = site.server.run(f"SELECT pv.id FROM {of} WHERE {named}", "superset")
    return int(number)


def test_commands_say_in_a_line_what_they_lack(site: Site) -> None:
    """Intent: an administrator on MySQL learns what to set; nobody is shown a nought that nobody has counted."""
    for words in ("upgrade", "warm", "refresh", "recommend", "dashboards install", "watch list", "alerts list"):
        done = site.command("perf", *words.split())
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert last == "Error: no log database; set SUPERSET_EXT_LOG_DATABASE_URL to a PostgreSQL URL"
    done = site.command("perf", "status")
    assert done.returncode == 0 and "Hits and misses are not counted" in done.stdout
    rows = json.loads(site.command("perf", "status", "--json").stdout)["regions"]
    assert {(row["hits"], row["misses"], row["hit_ratio"]) for row in rows} == {(None, None, None)}
    admin = Client(site.ours, ADMIN, ADMIN)
    health = admin.get("/api/v1/performance/health")
    assert (health.status_code, health.json()["healthy"], health.json()["log"]) == (200, True, None)
    assert admin.get("/api/v1/performance/status").json()["regions"][0]["hits"] is None


def test_charts_are_hits_until_their_table_changes(site: Site) -> None:
    """Intent: what is kept of a MySQL source is dropped by a webhook, and by a write in SQL Lab."""
    admin = Client(site.ours, ADMIN, ADMIN)
    site.asked(admin)
    assert site.asked(admin) == (200, 30, True)
    site.server.run("UPDATE shop.orders SET amount = amount + 1 WHERE region = 'north'")
    table = {"database": "shop", "schema": "shop", "table": "ORDERS"}
    assert admin.post("/api/v1/performance/cache/invalidate", json={"tables": [table]}).ok
    assert site.asked(admin) == (200, 31, False)
    until(lambda: site.asked(admin) == (200, 31, True))
    write = {"database_id": site.database, "schema": "shop", "sql": "UPDATE orders SET amount = amount - 1 LIMIT 1"}
    assert admin.post("/api/v1/sqllab/execute/", json=write).ok
    assert site.asked(admin) == (200, 30, False)
    until(lambda: site.asked(admin) == (200, 30, True))


def test_two_edits_within_a_second_leave_nothing_old(site: Site) -> None:
    """Intent: MySQL keeps whole seconds of an edit; a request between two of them has the key of both."""
    admin, slow = (Client(site.ours, ADMIN, ADMIN) for _ in range(2))
    times = {"amount": 30, "amount * 100": 3000}

    def edit(amount: str) -> None:
        sql = f"SELECT region, {amount} AS amount FROM shop.orders"
        answer = admin.http.put(f"{site.ours}/api/v1/dataset/{site.dataset}", json={"sql": sql})
        assert answer.ok, answer.text

    for _ in range(3):
        time.sleep(1 - time.time() % 1)  # so that both edits fall into one second
        edit("amount")
        between = threading.Thread(target=site.asked, args=(slow, 1.2))
        between.start()
        time.sleep(0.2)
        edit("amount * 100")
        between.join()
        assert [site.asked(admin)[1] for _ in range(2)] == [times["amount * 100"]] * 2
    edit("amount")


def test_a_right_that_sql_takes_is_gone_with_the_next_request(site: Site) -> None:
    """Intent: nobody sees more than stock would show, whatever has written to the metadata database."""
    ours, stock = Client(site.ours, READER, READER), Client(site.stock, READER, READER)
    site.asked(ours)
    assert site.asked(ours) == (200, 30, True)
    number = right(site)
    held = site.server.run(
        f"SELECT role_id FROM ab_permission_view_role WHERE permission_view_id = {number}", "superset"
    )
    site.server.run(f"DELETE FROM ab_permission_view_role WHERE permission_view_id = {number}", "superset")
    assert site.asked(ours)[0] == site.asked(stock)[0] == 403
    for (role,) in held:
        columns = "(id, permission_view_id, role_id)"
        values = f"SELECT MAX(id) + 1, {number}, {role} FROM ab_permission_view_role"
        site.server.run(f"INSERT INTO ab_permission_view_role {columns} {values}", "superset")
    assert site.asked(ours)[:2] == site.asked(stock)[:2] == (200, 30)
    site.server.run(f"UPDATE ab_user SET active = 0 WHERE username = '{READER}'", "superset")
    assert site.asked(ours)[0] == site.asked(stock)[0] != 200


def test_logs_are_shown_at_once(site: Site) -> None:
    """Intent: rows wait for their batch, and its transaction is not older than the page that shows them."""
    admin = Client(site.ours, ADMIN, ADMIN)
    counts = []
    for number in range(4):
        event_ = {"event_name": "mount_dashboard", "source": "dashboard", "source_id": 1, "ts": number}
        admin.post("/superset/log/?explode=events&dashboard_id=1", data={"events": json.dumps([event_])})
        query = "(filters:!((col:action,opr:eq,value:log)))"
        counts.append(admin.get(f"/api/v1/log/?q={query}").json()["count"])
    assert counts == list(range(counts[0], counts[0] + 4))

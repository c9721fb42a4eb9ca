"""`superset perf uninstall`: what is left is what was there before the package, object by object and row by row."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psycopg2
import pytest
import redis

from superset_ext.embedded.postgres import Postgres, binary
from superset_ext.embedded.valkey import Valkey
from testing.programs import program
from testing.regions import PATIENT
from testing.serving import ROOT, Client, web
from testing.superset_tables import make_tables

pytestmark = [pytest.mark.timeout(1800), pytest.mark.thorough]
STOCK = """
import os
SECRET_KEY = "the secret of the tests, long enough for a key"
SQLALCHEMY_DATABASE_URI = os.environ["METADATA"]
CELERY_CONFIG = None
TALISMAN_ENABLED = False
"""
# The drop-in, in a config that somebody has already.
OURS = STOCK + "from superset_ext.config import *\n"
CACHED = """
from superset.app import create_app
app = create_app()
with app.app_context():
    from superset.extensions import cache_manager
    assert cache_manager.data_cache.set("an answer", {"rows": [1]}, timeout=600)
    assert cache_manager.cache.set("a listing", {"tables": ["orders"]}, timeout=600)
"""


def run(command: list[str], env: Mapping[str, str]) -> str:
    """What a command says; it has to succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUPERSET", "FLASK"))}
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **env}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


def objects(url: str) -> dict[str, str]:
    """A database by pg_dump: each object's definition, and each table's rows in an order of their own."""
    text = run([str(binary("pg_dump")), "--no-comments", url], {}) + roles(url)
    text = re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)
    names = {}
    for part in re.split(r"^--\n(?=-- (?:Name|Data for Name): )", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n--\n")
        rows = "Type: TABLE DATA;" in name
        if "Type: SEQUENCE SET" not in name:
            names[name] = "\n".join(sorted(body.splitlines()) if rows else body.splitlines())
    return names


def roles(url: str) -> str:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolconfig, rolcanlogin FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1")
        return "--\n-- Name: roles\n--\n" + "\n".join(map(str, cursor.fetchall()))


def changed(before: dict[str, str], after: dict[str, str]) -> dict[str, list[str]]:
    """What differs, by object: the lines that only one of both has."""
    return {
        name: sorted(set(before.get(name, "").splitlines()) ^ set(after.get(name, "").splitlines()))[:10]
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }


def test_what_is_left_is_what_was_there(postgres: Postgres, fresh_valkey: object, tmp_path: Path) -> None:
    """Intent: metadata, a watched source, roles and Redis are as they were, and Superset starts without the package;
    what somebody else keeps in the same Redis stays."""
    metadata, source = postgres.create_database("uninstall_metadata"), postgres.create_database("uninstall_source")
    with psycopg2.connect(source) as connection:
        connection.cursor().execute("CREATE TABLE orders (amount int); INSERT INTO orders VALUES (1)")
    server: Valkey = fresh_valkey()  # type: ignore[operator]
    client = redis.Redis.from_url(f"{server.url}/3")
    client.set("somebody:else", "kept")
    stock, ours = tmp_path / "stock.py", tmp_path / "ours.py"
    stock.write_text(STOCK)
    ours.write_text(OURS)
    base = {"METADATA": metadata, "PYTHONPATH": str(ROOT), "SUPERSET_HOME": str(tmp_path)}
    without = base | {"SUPERSET_CONFIG_PATH": str(stock)}
    with_it = base | {"SUPERSET_CONFIG_PATH": str(ours), "SUPERSET_EXT_REDIS_URL": server.url}
    with_it |= {f"SUPERSET_EXT_{name}": str(value) for name, value in PATIENT.items()}
    account = shlex.split("--username admin --password pw --firstname A --lastname A --email a@b.example")
    make_tables(metadata)
    for words in (["init"], ["fab", "create-admin", *account], ["set-database-uri", "-d", "source", "-u", source]):
        run([program("superset"), *words], without)
    before, watched = objects(metadata), objects(source)

    uninstall = [program("superset"), "perf", "uninstall", "--yes"]
    run([program("superset"), "init"], with_it)
    run(uninstall, with_it)
    assert changed(before, objects(metadata)) == {}, "what was begun and never made is taken away too"

    for words in (["init"], ["perf", "upgrade"], ["perf", "watch", "add", "source", "public.orders"],
                  ["perf", "refresh"]):  # fmt: skip
        run([program("superset"), *words], with_it)
    run([program("python"), "-c", CACHED], with_it)
    assert len(changed(before, objects(metadata))) > 100
    assert changed(watched, objects(source)) and client.dbsize() > 1

    output = run(uninstall, with_it)
    assert "watches of public.orders" in output and "the schema superset_ext" in output
    assert changed(before, objects(metadata)) == {}
    assert changed(watched, objects(source)) == {}
    run(uninstall, with_it)
    assert changed(before, objects(metadata)) == {}, "once more is no error"
    left = [key for number in range(16) for key in redis.Redis.from_url(f"{server.url}/{number}").scan_iter()]
    assert left == [b"somebody:else"]
    with web(stock, without) as url:
        assert Client(url, "admin", "pw").http.get(f"{url}/api/v1/database/").json()["count"] == 1

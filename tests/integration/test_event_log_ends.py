"""Superset's `logs` in batches: a web server that is asked to end loses no row."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from superset_ext.embedded.valkey import Valkey
from testing.serving import Client, web
from testing.stack import RunningStack, left

CONFIG = """
import os
RATELIMIT_ENABLED = False

def FLASK_APP_MUTATOR(app):
    app.add_url_rule("/mine/pid", "pid", lambda: str(os.getpid()))

from superset_ext.config import *
"""
VIEWED = {"event_name": "mount_dashboard", "source": "dashboard", "ts": 1764300000000}


def test_a_worker_that_is_asked_to_end_writes_what_waits(
    superset_stack: RunningStack, fresh_valkey: Callable[..., Valkey], tmp_path: Path
) -> None:
    """Intent: SIGTERM, as a deployment or a container's end sends it, comes before rows would be written by themselves;
    they are in the table when the worker has ended."""
    (tmp_path / "config.py").write_text(CONFIG)
    env: dict[str, Any] = superset_stack.env | {
        "SUPERSET_EXT_REDIS_URL": fresh_valkey().url, "SUPERSET_EXT_RECORDER": "false",
        "SUPERSET_EXT_EVENT_LOG_SECONDS": "60",
    }  # fmt: skip
    mark = uuid.uuid4().hex
    with web(tmp_path / "config.py", env) as url:
        client = Client(url, superset_stack.user, superset_stack.password)
        worker = psutil.Process(int(client.get("/mine/pid").text))
        for number in range(5):
            events = json.dumps([{**VIEWED, "source_id": number, "mark": mark}])
            assert client.post("/superset/log/?explode=events", data={"events": events}).status_code == 200
        os.kill(worker.pid, signal.SIGTERM)
        assert not left([worker])
        with closing(psycopg2.connect(env["SUPERSET_EXT_DATABASE_URL"])) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM logs WHERE json LIKE %s", (f"%{mark}%",))
            assert cursor.fetchone() == (5,)

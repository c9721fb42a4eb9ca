"""Edits through Superset's ORM: what is told, what is not, and what waits while Redis is away."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from superset_ext.embedded.ports import free_port
from superset_ext.freshness.change import Change, SourceTable
from superset_ext.sqltables.table import Table
from testing.charts import Chart, dataset_id
from testing.programs import program
from testing.regions import PATIENT
from testing.serving import Client
from testing.warming import rows, until

pytestmark = pytest.mark.timeout(1200)
# In a process of its own: Superset's app is one a process.
EDIT = """
import json, sys
from superset.app import create_app
app = create_app()
dataset_id, steps = int(sys.argv[1]), json.loads(sys.argv[2])
from superset_ext.events import changed
heard = []
changed.connect(lambda source, event: heard.append(event.change), weak=False)
with app.app_context():
    from superset.connectors.sqla.models import SqlaTable, SqlMetric
    from superset.extensions import db
    from superset.models.annotations import AnnotationLayer
    for step in steps:
        heard.clear()
        dataset = db.session.get(SqlaTable, dataset_id)
        if step in ("edit", "rollback"):
            dataset.description = f"{step} {id(heard)}"
        elif step == "touch":
            from datetime import datetime
            dataset.changed_on = datetime.now()
        elif step == "add":
            dataset.metrics.append(SqlMetric(metric_name="told", expression="COUNT(*)"))
        elif step == "bulk update":
            db.session.query(SqlMetric).filter_by(metric_name="told").update({"expression": "1"})
        elif step == "bulk delete":
            db.session.query(SqlMetric).filter_by(metric_name="told").delete()
        elif step == "layer":
            db.session.add(AnnotationLayer(name=sys.argv[3], descr="d"))
        elif step == "layer gone":
            db.session.delete(db.session.query(AnnotationLayer).filter_by(name=sys.argv[3]).one())
        db.session.flush()
        told_early = len(heard)
        db.session.rollback() if step == "rollback" else db.session.commit()
        told = [[c.operation, list(c.datasets), len(c.layers), c.everything] for c in heard]
        print("SAID " + json.dumps([step, told_early, told]))
"""
STEPS = ["edit", "rollback", "touch", "add", "bulk update", "bulk delete", "layer", "layer gone"]


@pytest.fixture
def dataset(superset_stack: Any) -> Iterator[tuple[Client, int]]:
    admin = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    yield admin, dataset_id(admin, "birth_names")


def edited(stack: Any, dataset: int, steps: list[str], **env: str) -> dict[str, tuple[int, list[Any]]]:
    command = [program("python"), "-c", EDIT, str(dataset), json.dumps(steps), f"layer {uuid.uuid4().hex[:8]}"]
    patient = {f"SUPERSET_EXT_{name}": str(value) for name, value in PATIENT.items()}
    done = subprocess.run(
        command, env=os.environ | stack.env | patient | env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    steps_done = [
        json.loads(line.removeprefix("SAID ")) for line in done.stdout.splitlines() if line.startswith("SAID ")
    ]
    return {step: (early, tags) for step, early, tags in steps_done}


def test_what_is_told(superset_stack: Any, dataset: tuple[Client, int]) -> None:
    """Intent: after the commit and not before, nothing on rollback; a touch may be bulk statements, which count."""
    number = dataset[1]
    tags = edited(superset_stack, number, STEPS)
    one, saved = [["user_action", [number], 0, False]], [["schema_change", [number], 0, False]]
    assert tags == {
        "edit": (0, one),
        "rollback": (0, []),
        "touch": (0, saved),
        "add": (0, one),
        "bulk update": (0, one),
        "bulk delete": (0, one),
        "layer": (0, [["user_action", [], 1, False]]),
        "layer gone": (0, [["user_action", [], 1, False]]),
    }


def test_what_redis_could_not_be_told_waits(superset_stack: Any, dataset: tuple[Client, int]) -> None:
    """Intent: an edit succeeds with Redis away, and its entries go once a worker has told of it."""
    admin, number = dataset
    chart = Chart(number, "gender", 1234)
    until(lambda: chart.ask(admin).json()["result"][0]["is_cached"])
    sequence = "pg_get_serial_sequence('superset_ext.cache_invalidation_outbox', 'id')"
    last = f"SELECT coalesce(pg_sequence_last_value({sequence}::regclass), 0)"
    [(before,)] = rows(superset_stack, last)
    away = f"redis://127.0.0.1:{free_port()}/3"
    assert edited(superset_stack, number, ["edit"], SUPERSET_EXT_CHART_DATA_URL=away) == {"edit": (0, [])}
    assert rows(superset_stack, last)[0][0] > before
    # The edit itself has led to another key, so what shows that it was told is the log.
    sql = "SELECT 1 FROM superset_ext.cache_invalidation_log WHERE source = 'superset' AND %s = ANY(tags)"
    until(lambda: not rows(superset_stack, "SELECT 1 FROM superset_ext.cache_invalidation_outbox"), 240)
    until(lambda: rows(superset_stack, sql, (f"dataset:{number}",)), 240)


@pytest.mark.parametrize(
    "change",
    [
        Change("sqllab", "data_update", tables=(SourceTable(1, Table("Public", "Örders.x")),), at=1.5, user_id=7),
        Change("superset", "user_action", datasets=(1, 2), charts=(3,), dashboards=(4,), layers=(5,), everything=True),
    ],
)
def test_a_change_survives_the_outbox(change: Change) -> None:
    """Intent: what is told later is what happened."""
    again = Change.from_json(change.as_json())
    assert again.as_json() == change.as_json()
    assert list(again.tables) == list(change.tables)

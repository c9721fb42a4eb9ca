"""`SUPERSET_EXT_PLANS=false` switches everything off that looks at sources by itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testing.programs import program

SCRIPT = """
import json, os, sys
from pathlib import Path
from testing.in_process import start, stop

url, redis_url, folder = sys.argv[1:]
made = start(url, redis_url, Path(folder))
with made.awake(), made.app.app_context():
    from superset.extensions import celery_app, db
    from superset.models.core import Database
    from superset_ext.events import queried
    from superset_ext.plans.tasks import INDEXES, UPKEEP, index_advice_tick, upkeep_tick

    source = Database(database_name="a source")
    source.set_sqlalchemy_uri(url)
    db.session.add(source)
    db.session.commit()
    hearers = [receiver() if hasattr(receiver, "__call__") and type(receiver).__name__ == "ref" else receiver
               for receiver in queried.receivers.values()]
    owners = [type(getattr(one, "__self__", None)).__name__ for one in [*hearers, *made.package.recorder.beside]]
    upkeep_tick()
    index_advice_tick()
    rows = made.rows("SELECT count(*) FROM superset_ext.upkeep_finding")[0][0]
    looks = made.rows("SELECT count(*) FROM superset_ext.source_look WHERE topic = 'indexes'")[0][0]
    beat = {UPKEEP, INDEXES} <= set(celery_app.conf.beat_schedule)
stop(made)
print("SAID " + json.dumps({"owners": owners, "rows": rows, "beat": beat, "looks": looks}))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.thorough
@pytest.mark.parametrize("on", [False, True])
def test_off_is_off(on: bool, database_url: str, valkey: Any, tmp_path: Path) -> None:
    """Intent: with the setting off nobody listens for slow queries to take their plans, beat has no look at sources,
    and a task that is called all the same asks no source; with it on, all of that is there."""
    environment = {**os.environ, "SUPERSET_EXT_PLANS": str(on).lower(), "PYTHONPATH": str(Path.cwd())}
    command = [program("python"), "-c", SCRIPT, database_url, valkey.url, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SAID ")] or [done.stderr]
    output = json.loads(line.removeprefix("SAID "))
    looked = output["rows"] > 0, output["looks"] > 0
    assert ("PlanTaker" in output["owners"], output["beat"], *looked) == (on, on, on, on)

"""A Superset of a test's own, in a process of its own: its tables without its migrations, one source, no server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from testing.programs import program

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900  # for a machine that stalls
_CONFIG = """
import os
SECRET_KEY = "the secret of the tests, long enough for a key"
FAB_PASSWORD_HASH_METHOD = "pbkdf2:sha256:1000"  # quick; nobody guesses at these passwords
SQLALCHEMY_DATABASE_URI = os.environ["METADATA"]
CELERY_CONFIG = None
TALISMAN_ENABLED = False
"""
# The script finds `app`, `source` (Superset's database over SOURCE) and `say`, which prints what the test gets.
_START = """
import json, os
from superset.app import create_app

app = create_app()
app.app_context().push()
from flask_appbuilder import Model
from superset.extensions import db
from superset.models.core import Database
from superset.models.sql_lab import Query

def say(what):
    print("\\nSAID " + json.dumps(what, default=str), flush=True)

Model.metadata.create_all(db.engine)
source = Database(database_name="source", allow_dml=True)
source.set_sqlalchemy_uri(os.environ["SOURCE"])
db.session.add(source)
db.session.commit()
"""


def run(
    script: str, metadata: str, source: str, directory: Path, settings: str = "", seconds: float = SECONDS, **env: str
) -> Any:
    """Run a script within a Superset's app context; what it said last.

    Args:
        metadata: URL of an empty database for Superset's own tables.
        source: URL of a database to ask.
        settings: lines at the end of its configuration.
        seconds: how long it may take.
    """
    config = directory / "superset_config.py"
    config.write_text(_CONFIG + settings)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUPERSET", "FLASK"))}
    own = {"SUPERSET_CONFIG_PATH": str(config), "METADATA": metadata, "SOURCE": source, "PYTHONPATH": str(ROOT)}
    command = [program("python", real="PYTHONHASHSEED" in env), "-c", _START + script]
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **own, **env}, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rsplit("SAID ", 1)[1])

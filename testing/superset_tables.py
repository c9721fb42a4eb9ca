"""Superset's own tables in a database of a test, without its migrations, which keep a processor busy for half a
minute; the database says that it has them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from testing.programs import program

ROOT = Path(__file__).resolve().parents[1]
_CONFIG = """
SECRET_KEY = "the secret of the tests, long enough for a key"
SQLALCHEMY_DATABASE_URI = {url!r}
CELERY_CONFIG = None
"""
_MAKE = """
import sys
from pathlib import Path

import superset
from superset.app import create_app

sys.path.append(str(Path(superset.__file__).parent / "migrations"))  # its revisions import modules of this folder
with create_app().app_context():
    from flask_appbuilder import Model
    from flask_migrate import stamp
    from superset.extensions import db

    Model.metadata.create_all(db.engine)
    stamp()
"""


def make_tables(url: str) -> None:
    """Make them in the empty database of this URL."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUPERSET", "FLASK"))}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "superset_config.py"
        config.write_text(_CONFIG.format(url=url))
        done = subprocess.run(
            [program("python"), "-c", _MAKE], cwd=ROOT, timeout=300, check=False,
            env={**kept, "SUPERSET_CONFIG_PATH": str(config), "SUPERSET_HOME": folder},
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]

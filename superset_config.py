"""The drop-in config: mount it, `superset_ext/` and `sql/` where Superset finds its config, and set two URLs.

`SUPERSET_EXT_REDIS_URL` and `SUPERSET_EXT_DATABASE_URL`; the README has the table of all settings.
What is yours goes into a `superset_config_local.py` beside this file. It is read first, so that
the last line can add to its `FLASK_APP_MUTATOR`, `CELERY_CONFIG` and `FEATURE_FLAGS`.
"""

import sys
from importlib.util import find_spec

if find_spec("superset_ext") is None:  # with SUPERSET_CONFIG_PATH, the folder of this file is on no path
    print("superset_ext cannot be imported: put the folder that it lies in on PYTHONPATH", file=sys.stderr, flush=True)
    raise SystemExit(3)  # on which gunicorn gives up, as settings.stop says

if find_spec("superset_config_local"):
    from superset_config_local import *

from superset_ext.config import *

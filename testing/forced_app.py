"""A page for gunicorn that asks one region for one answer, forced; its query takes a second and is counted in Redis."""

from __future__ import annotations

import os
import time

from flask import Flask

from superset_ext.cache.query import running
from superset_ext.events import Scope
from testing.regions import chart_region, client_of

app = Flask(__name__)
url = os.environ["FORCED_REDIS_URL"]
cache, client = chart_region(url), client_of(url)


@app.get("/")
def forced() -> str:
    """What Superset does with a forced chart."""
    with running(Scope(dataset_id=1, database_id=1, forced=True)):
        known = cache.get("k")
        if known is None:
            known = {"query": "SELECT 1", "value": client.incr("queries")}
            time.sleep(1)
            cache.set("k", known)
        return str(known["value"])

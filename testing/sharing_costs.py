"""What a hit asks of Superset's metadata and of the source, in the world of `testing/sharing.py`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from testing.sharing import RULES, World, owners, shown


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    """Statements on Superset's metadata, and connections to all else, while this runs."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from superset.extensions import db

    counts = {"statements": 0, "connections": 0}
    metadata = db.engine.url.database

    def sent(connection: Any, *_: Any) -> None:
        if threading.current_thread().name != "superset_ext-events":  # which writes the log when that is due
            counts["statements"] += connection.engine.url.database == metadata

    def connecting(dialect: Any, record: Any, args: Any, named: Any) -> None:
        counts["connections"] += (named.get("dbname") or named.get("database")) != metadata

    event.listen(Engine, "before_cursor_execute", sent)
    event.listen(Engine, "do_connect", connecting)
    try:
        yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", sent)
        event.remove(Engine, "do_connect", connecting)


def costs(world: World) -> dict[str, Any]:
    """What the third read of each request asks, after two that fill the caches."""
    world.rule(RULES[0])
    asked = {}
    for name in ("plain", "own", "deep1", "deep3", "by_rule", "by_chart"):
        for _ in range(2):
            world.ask("u1", name)
        with counting() as counts:
            answer = world.ask("u1", name)
        asked[name] = {**counts, "hit": all(result["is_cached"] for result in answer)}
    return asked


SCHEMAS = """
CREATE SCHEMA a; CREATE TABLE a.moving AS SELECT owner, v FROM t;
CREATE SCHEMA b; CREATE TABLE b.moving AS SELECT owner, v + 1000 AS v FROM t;
"""


def moved(world: World) -> dict[str, Any]:
    """The default schema of a source moves to one whose table has a row-level rule, and a process does not know it yet.

    Returns:
        What two users are shown there by the cache, and by Superset without one.
    """
    from superset.extensions import db, security_manager

    from superset_ext.host import remembered

    world.rule(None)
    _execute(world, SCHEMAS)
    _move(world, "a")
    world._dataset("ruled in b", table="moving")
    world._dataset("loose", "SELECT owner, v FROM moving")
    _schemas_of(world, {"ruled in b": "b", "loose": None})
    people = security_manager.find_role("people")
    people.permissions = [
        *people.permissions,
        security_manager.add_permission_view_menu("datasource_access", _dataset(world, "loose").perm),
    ]
    db.session.commit()
    world.rule(RULES[0], "ruled in b")
    before = world.ask("u1", "loose")
    late = dict(remembered._schemas._values)
    _move(world, "b")
    world.requests["loose"] = world.body("loose", row_limit=50)
    first = world.ask("u1", "loose")
    remembered._schemas._values.clear()  # another process, which has asked the source before it moved
    remembered._schemas._values.update(late)
    answers = [first, world.ask("u2", "loose")]
    with world.no_cache():
        right = [world.ask(user, "loose") for user in ("u1", "u2")]
    return {"before": owners(before), "cached": [shown(a) for a in answers], "right": [shown(a) for a in right]}


def _dataset(world: World, name: str) -> Any:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    return db.session.query(SqlaTable).get(world.datasets[name])


def _schemas_of(world: World, schemas: dict[str, str | None]) -> None:
    from superset.extensions import db

    for name, schema in schemas.items():
        _dataset(world, name).schema = schema
    db.session.commit()


def _move(world: World, schema: str) -> None:
    """Have the source look unqualified names up in another schema; connections that are open keep the former one."""
    from superset_ext.host import engines

    change = f"EXECUTE format('ALTER DATABASE %I SET search_path = {schema}', current_database());"
    _execute(world, f"DO $$ BEGIN {change} END $$")
    if engines.engines is not None:
        engines.engines.reset()


def _execute(world: World, sql: str) -> None:
    from superset.extensions import db
    from superset.models.core import Database

    source = db.session.query(Database).get(world.source_id)
    with source.get_sqla_engine() as engine, engine.begin() as connection:
        connection.exec_driver_sql(sql.replace("%", "%%"))

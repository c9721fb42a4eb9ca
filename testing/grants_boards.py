"""Contents of dashboards that change: layout, colors and style, which concern who has read that dashboard alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from superset_ext.cache import used
from testing.event_log import flush
from testing.grants import World, answer_of, bare, beside, same

Session = Any


def contents(world: World) -> dict[str, Any]:
    """Whether an answer is given again after a write to a dashboard, for a guest and somebody who reads by a dashboard.

    Each is a pair: whether it was given again, and whether it was the oracle's.
    """
    results: dict[str, Any] = {}
    reading = world.body()
    reading["form_data"]["dashboardId"] = world.closed_id
    for who, client, board, body in (
        ("guest", world.guest(), world.board_id, world.body()),
        ("reader", world.client("reader"), world.closed_id, reading),
    ):
        other = next(number for number in world.boards if number != board)
        colors = '{"colors": {}}'
        world.sql("UPDATE dashboards SET json_metadata = '{}'")
        for name, statement in {
            "another's colors": f"SET json_metadata = '{colors}', changed_on = now() WHERE id = {other}",
            "another's layout": f"SET position_json = '{colors}' WHERE id = {other}",
            "nothing": "SET css = css, published = published",
            "no row": "SET published = false WHERE id = -1",
            "its own label colors": f"""SET json_metadata = '{{"label_colors": {{}}}}' WHERE id = {board}""",
            "its own style": f"SET css = 'b {{}}' WHERE id = {board}",
            "another's name": f"SET dashboard_title = dashboard_title || '.' WHERE id = {other}",
            "another's number": f"SET css = 'c {{}}', slug = 's{other}' WHERE id = {other}",
        }.items():
            results[f"{who}: {name}"] = _after(world, client, body, f"UPDATE dashboards {statement}")
        world.sql("UPDATE dashboards SET slug = NULL, css = NULL, position_json = NULL")
    return results


def _after(world: World, client: Any, body: Any, statement: str) -> tuple[bool, bool]:
    world.granted(client, body)
    world.sql(statement)
    before = world.grants.hooks.given
    answer = world.ask(client, body)
    return world.grants.hooks.given > before, same(answer, world.oracle(client, body))


def colored(world: World) -> dict[str, Any]:
    """A request with other label colors than the one that was granted: whether it is given again, with the answer and
    the rows of Superset's log that it has without grants; and what is as alike, but no such request."""
    client, results = world.client("p1"), {}
    for name, form, other in (
        ("colors", {"shared_label_colors": ["a"]}, {"shared_label_colors": ["b", 'c"]']}),
        ("table", {"map_label_colors": {"a": "#fff"}, "x": 1}, {"map_label_colors": {}, "x": 1}),
        ("argument", {"url_params": {"label_colors": ["a"]}}, {"url_params": {"label_colors": ["b"]}}),
        ("beside", {"label_colors": ["a"], "x": 1}, {"label_colors": ["b"], "x": 2}),
    ):
        first, second = (partial(_sent, world, client, more) for more in (form, other))
        for _ in range(6):
            first()
        before = world.grants.hooks.given
        logged = [left(world, second)]
        given = world.grants.hooks.given > before
        with world.off():
            logged.append(left(world, second))
        results[name] = [given, logged[0] == logged[1], len(logged[1][1])]
    return results


def _sent(world: World, client: Any, form: dict[str, Any]) -> tuple[int, Any]:
    body = world.body(row_limit=66)
    body["form_data"] |= form
    text = json.dumps(body, separators=(",", ":"))
    return answer_of(client.post("/api/v1/chart/data", data=text, content_type="application/json"))


def left(world: World, ask: Callable[[], tuple[int, Any]]) -> tuple[Any, list[Any]]:
    """An answer without its times, and the rows of Superset's log that it leaves."""
    flush()
    ((last,),) = world.sql("SELECT max(id) FROM logs")
    status, answer = ask()
    flush()
    rows = "SELECT action, json, dashboard_id, slice_id, user_id FROM logs WHERE id > %s ORDER BY action, json"
    return (status, bare(answer)), world.sql(rows, last)


def by_filter(world: World) -> dict[str, Any]:
    """A filter's values, which a dashboard's contents allow somebody to read; then they do no more."""
    body = world.body()
    body["form_data"] = {"dashboardId": world.closed_id, "type": "NATIVE_FILTER", "native_filter_id": "NATIVE_FILTER-1"}
    target = {"datasetId": world.datasets["t"], "column": {"name": "owner"}}
    filters = [{"id": "NATIVE_FILTER-1", "type": "NATIVE_FILTER", "targets": [target]}]
    _write(world, {"native_filter_configuration": filters})
    client = world.client("reader")
    allowed = world.granted(client, body)
    _write(world, {"native_filter_configuration": []})
    return {"allowed": allowed[0], "refused": world.oracle(client, body)[0]} | {"then": beside(world, client, body)}


def _write(world: World, metadata: dict[str, Any]) -> None:
    world.sql("UPDATE dashboards SET json_metadata = %s WHERE id = %s", json.dumps(metadata), world.closed_id)


def reads(world: World) -> dict[str, Any]:
    """What is noted of statements: the ids of dashboards that were read, or `None` where it may have been any."""
    from sqlalchemy import func, select, text
    from sqlalchemy.orm import aliased, joinedload, load_only, selectinload
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    table, other = Dashboard.__table__, aliased(Dashboard, name="d")
    asked: dict[str, Callable[[Session], Any]] = {
        "row": lambda s: s.query(Dashboard).filter(Dashboard.id == world.board_id).all(),
        "get": lambda s: s.get(Dashboard, world.board_id),
        "new style": lambda s: s.execute(select(Dashboard).where(Dashboard.id == world.board_id)).all(),
        "another name": lambda s: s.query(other).filter(other.id == world.board_id).all(),
        "of a chart": lambda s: [board.id for board in s.get(Slice, world.chart_id).dashboards],
        "joined": lambda s: s.query(Slice).options(joinedload(Slice.dashboards)).all(),
        "joined, limited": lambda s: s.query(Slice).options(joinedload(Slice.dashboards)).limit(5).all(),
        "then": lambda s: s.query(Slice).options(selectinload(Slice.dashboards)).all(),
        "a part": lambda s: s.query(Dashboard).options(load_only(Dashboard.css)).filter_by(id=world.board_id).all(),
        "number": lambda s: s.query(Dashboard.id, Dashboard.slug).all(),
        "chart": lambda s: s.query(Slice).join(Slice.dashboards).filter(Dashboard.published).all(),
        "column": lambda s: s.query(Dashboard.json_metadata).all(),
        "column beside a row": lambda s: s.query(Dashboard, Dashboard.css).all(),
        "column, another name": lambda s: s.query(other.position_json).all(),
        "newest": lambda s: s.query(func.max(Dashboard.changed_on)).all(),
        "newest chart": lambda s: s.query(Slice.id).join(Slice.dashboards).order_by(Dashboard.changed_on).all(),
        "in order": lambda s: s.query(Dashboard).order_by(Dashboard.changed_on).all(),
        "where": lambda s: s.query(Dashboard).filter(Dashboard.css == "").all(),
        "exists": lambda s: s.query(s.query(Dashboard).filter(Dashboard.css == "").exists()).scalar(),
        "within": lambda s: s.query(s.query(Dashboard.css).subquery()).all(),
        "table": lambda s: s.execute(select(table)).all(),
        "text": lambda s: s.execute(text("SELECT * FROM dashboards")).all(),
        "text of columns": lambda s: s.execute(text("SELECT d.css FROM dashboards d")).all(),
        "text, labelled": lambda s: s.execute(text("SELECT d.css AS d_css FROM dashboards d")).all(),
        "how many": lambda s: s.execute(text("SELECT count(*) FROM dashboards")).all(),
    }  # fmt: skip
    return {name: _noted(world, ask) for name, ask in asked.items()}


def _noted(world: World, ask: Callable[[Session], Any]) -> list[int] | None:
    from superset.extensions import db

    with world.app.app_context():
        noted = used.watch(lambda _: ())
        try:
            ask(db.session)
        finally:
            used.forget()
            db.session.remove()
    return None if noted.dashboards is None else sorted(noted.dashboards)

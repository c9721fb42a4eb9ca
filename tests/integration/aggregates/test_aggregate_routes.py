"""`POST /aggregates/…`: what the commands of these names do, over HTTP, for whom Superset would let do it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from testing.aggregate_tables import BY_SHOP, run, sales_in
from testing.databases import Databases
from testing.in_process import InProcess
from testing.watches import CATALOG

BASE = "/api/v1/performance/aggregates"
NAME = f"sales over HTTP {uuid.uuid4().hex[:8]}"
PASSWORD = "a password of the test"
VERBS = {"propose": {}, "build": {"sql": BY_SHOP}, "refresh": {}, "check": {}, "drop": {"aggregates": ["by_shop"]}}
CHANGING = ("build", "drop")


@pytest.fixture
def source(superset_app: InProcess, databases: Databases) -> Iterator[Any]:
    """A connection to a source that Superset knows by `NAME`, and that some people may use."""
    with sales_in(superset_app, databases, NAME) as connection:
        with superset_app.app.app_context():
            _make_people()
        yield connection
        with superset_app.app.app_context():
            _unmake_people()


def _make_people() -> None:
    from superset.extensions import db, security_manager
    from superset.models.core import Database

    database = db.session.query(Database).filter_by(database_name=NAME).one()
    gamma = security_manager.find_role("Gamma")
    write = security_manager.add_role(f"{NAME} write")
    access = security_manager.add_role(f"{NAME} access")
    for role, permission in ((write, ("can_write", "Performance")), (access, ("database_access", database.perm))):
        security_manager.add_permission_role(role, security_manager.add_permission_view_menu(*permission))
    for name, roles in {"access": [gamma, access], "write": [gamma, write], "both": [gamma, write, access]}.items():
        user = f"{name} {NAME}"
        security_manager.add_user(user, name, name, f"{name}_{NAME[-8:]}@example.org", roles, PASSWORD)
    db.session.commit()


def _unmake_people() -> None:
    """Leave the app, which other tests share, as it was."""
    from superset.extensions import db, security_manager

    for user in security_manager.get_all_users():
        if user.username.endswith(NAME):
            db.session.delete(user)
    for role in security_manager.get_all_roles():
        if role.name.startswith(NAME):
            db.session.delete(role)
    db.session.commit()


def allow_changes(app: InProcess) -> None:
    app.rows("UPDATE dbs SET allow_dml = true WHERE database_name = %s", (NAME,))


def post(client: Any, verb: str, **body: Any) -> Any:
    return client.post(f"{BASE}/{verb}", json={"database": NAME, **VERBS[verb], **body})


def done(client: Any, verb: str, **body: Any) -> Any:
    answer = post(client, verb, **body)
    assert answer.status_code == 200, answer.json
    return answer.json.get("result", answer.json)


def test_an_aggregate_from_its_statement_to_its_end(superset_app: InProcess, source: Any) -> None:
    """Intent: an administrator sees what would be made, has it made, brought up to date, compared and dropped, by
    requests alone; the source is as before. Without `run` nothing changes there."""
    allow_changes(superset_app)
    before, admin = run(source, CATALOG), superset_app.client()
    shown = done(admin, "build", name="by_shop")
    assert shown["built"] is False and any("CREATE UNIQUE INDEX" in text for text in shown["statements"])
    assert run(source, CATALOG) == before
    built = done(admin, "build", name="by_shop", filters=["shop"], run=True)
    assert (built["built"], built["upkeep"], built["rows"]) == (True, "notes", 6)
    run(source, "DELETE FROM sales WHERE id < 50")
    (refreshed,) = done(admin, "refresh", aggregates=["by_shop"])
    assert (refreshed["name"], refreshed["error"], refreshed["how"]) == ("by_shop", None, "whole")
    assert [done(admin, "refresh", whole=whole)[0]["how"] for whole in (False, True)] == ["nothing", "whole"]
    (checked,) = done(admin, "check")
    assert (checked["differences"], checked["error"]) == (0, None)
    (named,) = done(admin, "drop")
    assert (named["dropped"], named["error"]) == (False, None) and run(source, CATALOG) != before
    (gone,) = done(admin, "drop", run=True)
    assert gone["dropped"] is True and run(source, CATALOG) == before
    proposed = done(admin, "propose")
    assert (proposed["database"], proposed["proposals"]) == (NAME, [])


def test_what_cannot_be_done_is_one_line(superset_app: InProcess, source: Any) -> None:
    """Intent: a name that is none, a statement that no aggregate answers, and fields that are not known, change nothing
    and are told in a sentence."""
    allow_changes(superset_app)
    before, admin = run(source, CATALOG), superset_app.client()
    for verb, body, words in (
        ("build", {"sql": "SELECT * FROM sales"}, "no aggregate answers"),
        ("build", {"name": "Not A Name"}, "cannot be the name"),
        ("build", {"upkeep": "magic"}, "upkeep"),
        ("refresh", {"aggregates": ["gone"]}, "gone"),
        ("check", {"aggregates": ["gone"]}, "gone"),
        ("drop", {"aggregates": []}, "aggregates"),
        ("propose", {"days": 0}, "days"),
        ("propose", {"user": "admin"}, "user"),
    ):
        answer = post(admin, verb, run=True, **body) if verb in CHANGING else post(admin, verb, **body)
        assert answer.status_code == 400 and words in answer.json["message"], (verb, body, answer.json)
    assert run(source, CATALOG) == before


def test_nobody_gets_further_than_superset_lets_them(superset_app: InProcess, source: Any) -> None:
    """Intent: it takes an administrator to see what everybody's requests would gain or to write to the source, and
    *Allow DDL and DML* to make or drop tables. Nobody else learns which databases there are."""
    before = run(source, CATALOG)
    people = {name: superset_app.client(f"{name} {NAME}", PASSWORD) for name in ("access", "write", "both")}
    for verb in VERBS:
        more = {"run": True} if verb in CHANGING else {}
        statuses = {name: post(client, verb, **more).status_code for name, client in people.items()}
        assert statuses == dict.fromkeys(people, 403), verb
        assert post(superset_app.app.test_client(), verb, **more).status_code == 401
    closed = post(people["both"], "propose")
    assert closed.json == post(people["both"], "propose", database="no such one").json
    assert closed.json == post(people["both"], "propose", database=10**6).json
    for verb in CHANGING:
        answer = post(superset_app.client(), verb, run=True)
        assert answer.status_code == 403 and "Allow DDL and DML" in answer.json["message"]
    assert run(source, CATALOG) == before

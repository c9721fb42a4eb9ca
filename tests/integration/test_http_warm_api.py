"""Warm-up over HTTP: who may, what is refused, and a run that nobody works on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.errors import SettingsError
from superset_ext.settings import Targets, load
from superset_ext.warm.service import QUEUE
from testing.programs import program
from testing.serving import START_SECONDS, Client, process, web
from testing.warming import rows, until

PATH = "/api/v1/performance/cache/warm-up"
MAX_BYTES = 64 * 1024
TOKEN = "t" * 31 + "!"
NOBODY = f"{PATH}/{uuid.UUID(int=1)}"
# Workers that are not there are not waited for as long as in production.
SHORT_WAITS = """
from superset_ext.warm import recovery
recovery.SILENT_SECONDS, recovery.REPLY_SECONDS = 0.5, (0.5, 1.0)
"""


@dataclass
class Api:
    """A web server with the API on, a log of its own, and no worker."""

    base: str
    admin: Client
    log: LogDatabase
    output: Path

    def runs(self) -> list[dict[str, Any]]:
        return self.log.rows("SELECT run_id::text, state, options, requested_by FROM superset_ext.cache_warm_run")

    def asked(
        self, verb: str, path: str, token: str | None = None, kind: str = "", **options: Any
    ) -> requests.Response:
        """Ask without a session."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Type": kind} if kind else {}
        return requests.request(verb, f"{self.base}{path}", headers=headers, timeout=60, **options)

    def outsider(self) -> Client:
        """A user with the role Gamma."""
        roles = self.admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
        gamma = next(r["id"] for r in roles if r["name"] == "Gamma")
        name = f"u{uuid.uuid4().hex[:8]}"
        made = self.admin.post(
            "/api/v1/security/users/",
            json={
                "username": name, "password": "outside-1!", "first_name": "Out", "last_name": "Sider",
                "email": f"{name}@example.org", "active": True, "roles": [gamma],
            },
        )  # fmt: skip
        assert made.status_code == 201, made.text
        return Client(self.base, name, "outside-1!")


def initialise(config: Path, env: dict[str, str]) -> None:
    """`superset init`, which makes the permissions: a stack that ran before may not have them."""
    full = {**env, "SUPERSET_CONFIG_PATH": str(config), "PYTHONPATH": str(Path(__file__).parents[2])}
    log = config.with_name("init.log")
    with process([program("superset"), "init"], full, log) as command:
        assert command.wait(START_SECONDS) == 0, log.read_text()[-2000:]


@pytest.fixture(scope="module")
def api(superset_stack: Any, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("warm_api")
    valkey = Valkey(folder / "valkey").start()
    config = folder / "warm_config.py"
    config.write_text(f"from superset_ext.config import *\n{SHORT_WAITS}")
    log_url = postgres.create_database(f"warm_{uuid.uuid4().hex[:8]}")
    env = superset_stack.env | {
        "SUPERSET_EXT_REDIS_URL": valkey.url,
        "SUPERSET_EXT_BROKER_URL": f"{valkey.url}/0",
        "SUPERSET_EXT_LOG_DATABASE_URL": log_url,
        "SUPERSET_EXT_API_TOKEN": TOKEN,
    }
    if not rows(superset_stack, "SELECT FROM public.ab_view_menu WHERE name = 'Performance'"):
        initialise(config, env)
    with closing(LogDatabase(log_url)) as log, web(config, env) as base:
        log.apply_schema()
        yield Api(base, Client(base, superset_stack.user, superset_stack.password), log, config.with_suffix(".log"))
    valkey.stop()


@pytest.fixture(autouse=True)
def no_runs(api: Api) -> None:
    with api.log.transaction() as cursor:
        cursor.execute("DELETE FROM superset_ext.cache_warm_run")


def test_an_admin_starts_a_run(api: Api) -> None:
    """Intent: the whole way with a session: a run is made, once, and it can be read."""
    first, second = (api.admin.post(PATH, json={"dashboards": [1]}) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202), first.text
    run_id = first.json()["run_id"]
    assert first.json() == {"run_id": run_id, "new": True}
    assert second.json() == {"run_id": run_id, "new": False}
    row = {"run_id": run_id, "state": "queued", "options": {"dashboards": [1]}, "requested_by": "api"}
    assert api.runs() == [row]
    status = api.admin.get(f"{PATH}/{run_id}").json()
    assert row.items() <= status.items()
    assert status["created_at"].startswith("20")


def test_all_dashboards_have_two_names(api: Api) -> None:
    """Intent: `"all"` is what the command takes, and is the same run as `all_dashboards`."""
    first = api.admin.post(PATH, json={"dashboards": "all"}).json()
    second = api.admin.post(PATH, json={"all_dashboards": True}).json()
    assert second == {"run_id": first["run_id"], "new": False}
    assert [row["options"] for row in api.runs()] == [{"all_dashboards": True}]


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_session_needs_a_csrf_token(api: Api, token: str | None) -> None:
    """Intent: the exemption is for headers that another site cannot send, not for whoever is logged in."""
    kept = api.admin.http.headers.pop("X-CSRFToken")
    try:
        refused = api.admin.post(PATH, json={"dashboards": [1]}, headers={"X-CSRFToken": token})
    finally:
        api.admin.http.headers["X-CSRFToken"] = kept
    assert refused.status_code == 400
    assert "CSRF" in refused.json()["message"]
    assert api.runs() == []


@pytest.mark.parametrize("value", ["Bearer", "Bearer x.y.z", f"Bearer {TOKEN}x", "Basic eDp5", "Bearer sst_x"])
def test_a_header_does_not_make_up_for_a_csrf_token(api: Api, value: str) -> None:
    """Intent: only a Bearer that holds frees a session from the CSRF token."""
    kept = api.admin.http.headers.pop("X-CSRFToken")
    try:
        refused = api.admin.post(PATH, json={"dashboards": [1]}, headers={"Authorization": value})
    finally:
        api.admin.http.headers["X-CSRFToken"] = kept
    assert refused.status_code == (400 if value.startswith("Basic") else 401), refused.text
    assert api.runs() == []


def test_gamma_may_neither_start_nor_read(api: Api) -> None:
    """Intent: `superset init` gives the permission to Admin alone."""
    outsider = api.outsider()
    assert outsider.post(PATH, json={"dashboards": [1]}).status_code == 403
    assert outsider.get(NOBODY).status_code == 403
    assert api.runs() == []


def test_only_admin_has_the_permissions(api: Api) -> None:
    """Intent: Gamma and Alpha get whatever is not on the list of what is Admin's."""
    roles = api.admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
    having = set()
    for role in roles:
        permissions = api.admin.get(f"/api/v1/security/roles/{role['id']}/permissions/").json()["result"]
        having |= {(role["name"], p["permission_name"]) for p in permissions if p["view_menu_name"] == "Performance"}
    assert having == {("Admin", "can_read"), ("Admin", "can_write")}


def test_the_anonymous_are_refused(api: Api) -> None:
    """Intent: 401 for both, with a message."""
    for answer in (api.asked("POST", PATH, json={"dashboards": [1]}), api.asked("GET", NOBODY)):
        assert (answer.status_code, answer.json()) == (401, {"message": "Not authorized"})
    assert api.runs() == []


def test_a_jwt_needs_no_csrf_token(api: Api, superset_stack: Any) -> None:
    """Intent: a script logs in over the API and has no session."""
    login = {"username": superset_stack.user, "password": superset_stack.password, "provider": "db"}
    token = api.asked("POST", "/api/v1/security/login", json=login).json()["access_token"]
    started = api.asked("POST", PATH, token, json={"charts": [1]})
    assert started.status_code == 202, started.text
    assert api.asked("GET", f"{PATH}/{started.json()['run_id']}", token).status_code == 200
    assert api.asked("POST", PATH, token[:-4] + "AAAA", json={"charts": [2]}).status_code == 401


def test_the_token_of_the_settings(api: Api) -> None:
    """Intent: it opens these two routes and nothing else, and no other one does."""
    started = api.asked("POST", PATH, TOKEN, json={"tags": ["a"]})
    assert started.status_code == 202, started.text
    assert api.asked("GET", f"{PATH}/{started.json()['run_id']}", TOKEN).status_code == 200
    for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xe4" * 32):
        assert api.asked("POST", PATH, wrong, json={"tags": ["b"]}).status_code == 401
        assert api.asked("GET", NOBODY, wrong).status_code == 401
    assert api.asked("GET", "/api/v1/dashboard/1", TOKEN).status_code in (401, 404, 422)
    assert len(api.runs()) == 1
    assert TOKEN not in api.output.read_text()


def deep() -> bytes:
    return b'{"dashboards": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"


BAD: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (deep(), "not JSON"),
    (b'{"targets": ["common_queries"], "budget_seconds": Infinity}', "not JSON"),
    (b"[1]", "not a JSON object"),
    (b"{}", "nothing to warm is named"),
    (b'{"limit": 3}', "nothing to warm is named"),
    (b'{"dashboards": []}', "nothing to warm is named"),
    (b'{"dashboard": [1]}', "'dashboard' is no field; use targets, all_dashboards, dashboards"),
    (b'{"dashboards": "some"}', "'dashboards': "),
    (b'{"dashboards": 1}', "'dashboards': "),
    (b'{"dashboards": ["1"]}', "'dashboards.0': should be a valid integer"),
    (b'{"charts": [0]}', "'charts.0': should be greater than or equal to 1"),
    (b'{"charts": [2147483648]}', "'charts.0': should be less"),
    (b'{"all_dashboards": "yes"}', "'all_dashboards': should be a valid boolean"),
    (b'{"targets": ["everything"]}', "'targets.0': should be 'popular_dashboards'"),
    (b'{"tags": ["a\\u0000"]}', "'tags.0': "),
    (b'{"tags": ["\\ud800"]}', "the body: "),
    (b'{"dashboards": [1], "limit": 0}', "'limit': "),
    (b'{"dashboards": [1], "concurrency": 65}', "'concurrency': "),
    (b'{"dashboards": [1], "budget_seconds": 0}', "'budget_seconds': "),
]


@pytest.mark.parametrize(("body", "message"), BAD, ids=[body[:40].decode("latin-1") for body, _ in BAD])
def test_bad_input_is_named_and_starts_nothing(api: Api, body: bytes, message: str) -> None:
    """Intent: one clear line, and no run."""
    answer = api.admin.post(PATH, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    refusal = answer.json()
    assert list(refusal) == ["message"]
    assert message in refusal["message"]
    assert "\n" not in refusal["message"]
    assert api.runs() == []


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_is_not_said_to_be_json(api: Api, kind: str) -> None:
    """Intent: a form of another site can send only such a one."""
    answer = api.admin.post(PATH, data=b'{"dashboards": [1]}', headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 400, answer.text
    assert "Content-Type: application/json" in answer.json()["message"]
    assert api.runs() == []


@pytest.mark.parametrize("more", [1, 100_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_64_kb_is_refused(api: Api, chunked: bool, more: int) -> None:
    """Intent: also one that does not say how long it is."""
    body = json.dumps({"charts": [1]}).encode().ljust(MAX_BYTES + more)
    data = iter([body]) if chunked else body
    answer = api.admin.post(PATH, data=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text
    assert answer.json() == {"message": "the body is over 65536 bytes"}
    assert api.asked("POST", PATH, TOKEN, data=body, kind="application/json").status_code == 413
    assert api.runs() == []
    headers = {"Content-Type": "application/json"}
    assert api.admin.post(PATH, data=body[:MAX_BYTES], headers=headers).status_code == 202


def test_an_unknown_run(api: Api) -> None:
    """Intent: 404 as Superset's own."""
    answer = api.admin.get(NOBODY)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not found"})


def test_a_run_whose_queue_nobody_consumes_fails(api: Api) -> None:
    """Intent: who polls learns that there is no worker."""
    run_id = api.asked("POST", PATH, TOKEN, json={"datasets": [1]}).json()["run_id"]
    asked = (api.asked("GET", f"{PATH}/{run_id}", TOKEN).json() for _ in count())
    failed = until(lambda: status if (status := next(asked))["state"] == "failed" else None)
    assert QUEUE in failed["reason"]
    assert failed["finished_at"]


@pytest.mark.parametrize("value", ["x" * 31, "x" * 31 + " y", "\xe4" * 32])
def test_a_weak_token_stops_the_start(value: str) -> None:
    """Intent: it is refused when it is set, and never repeated."""
    with pytest.raises(SettingsError, match="SUPERSET_EXT_API_TOKEN") as error:
        load({"SUPERSET_EXT_API_TOKEN": value})
    assert value not in str(error.value)
    assert TOKEN not in repr(load({"SUPERSET_EXT_API_TOKEN": TOKEN}))


def test_superset_describes_it(api: Api) -> None:
    """Intent: the API is on Superset's own page, with each field that a request takes."""
    described = api.admin.get("/api/v1/_openapi").json()
    assert set(described["paths"][PATH]) == {"post"}
    assert set(described["paths"][f"{PATH}/{{run_id}}"]) == {"get"}
    fields = described["components"]["schemas"]["WarmUpRequest"]["properties"]
    # What a change has dropped is warmed by the package itself.
    assert set(fields) == set(Targets.model_fields) - {"changed"}
    status = described["components"]["schemas"]["WarmUpStatus"]["properties"]
    run_id = api.admin.post(PATH, json={"dashboards": [2]}).json()["run_id"]
    assert set(status) == set(api.admin.get(f"{PATH}/{run_id}").json())


NONE = """
from dataclasses import replace
_ours = FLASK_APP_MUTATOR

def FLASK_APP_MUTATOR(app):
    _ours(app)
    app.extensions["superset_ext"] = replace(app.extensions["superset_ext"], database=None)
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "the log database"),
        pytest.param(NONE, "set SUPERSET_EXT_LOG_DATABASE_URL", marks=pytest.mark.thorough),
    ],
    ids=["away", "none"],
)
def test_without_a_log_database(superset_stack: Any, api: Api, tmp_path: Path, more: str, message: str) -> None:
    """Intent: 503 with what to mend, be it away or not set; and where no token is set none is taken."""
    config = tmp_path / "away_config.py"
    config.write_text(f"from superset_ext.config import *\n{more}")
    env = superset_stack.env | {
        "SUPERSET_EXT_LOG_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/none",
        "SUPERSET_EXT_RECORDER": "false",
    }
    with web(config, env) as base:
        admin = Client(base, superset_stack.user, superset_stack.password)
        for answer in (admin.post(PATH, json={"dashboards": [1]}), admin.get(NOBODY)):
            assert answer.status_code == 503
            assert message in answer.json()["message"]
            assert "secret" not in answer.text
        for token in ("", TOKEN):
            answer = requests.get(f"{base}{NOBODY}", headers={"Authorization": f"Bearer {token}"}, timeout=60)
            assert answer.status_code == 401

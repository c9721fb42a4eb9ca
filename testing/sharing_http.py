"""The world of `testing/sharing.py` over HTTP: three users with logins of their own, guests, forced and
warmed requests. Superset without a cache says what is right.

Runs in a process with a Superset app (see `testing/superset_app.py`).
"""

from __future__ import annotations

import json
from typing import Any

from testing.sharing import PEOPLE, RULES, World

GUESTS = ("ruled", "own", "through", "other.borrowed")  # what guests may see by their dashboard alone
NESTED = ("deep3", "joined", "other.borrowed", "by_rule", "by_depth", "by_chart", "filtered")
EMBEDDED = ("deep3", "other.borrowed", "filtered")
REFUSED = ("by_depth", "by_chart")  # stock refuses guests every chart with another one as an annotation layer
GUEST_ROLE = "guests"
PATH = "/api/v1/chart/data"


class Web:
    """Clients of the app, each known by its own token.

    Attributes:
        different: case, user, request, the answer and the right one, where they differ.
        hits: how many answers came from the cache.
        asked: how many answers there were.
        refused: how many of them Superset refuses.
    """

    def __init__(self, world: World) -> None:
        from superset.extensions import appbuilder, security_manager

        self.world, self.app = world, world.app
        self.different: list[Any] = []
        self.hits = self.asked = self.refused = 0
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        self._add_role("Gamma")
        security_manager.add_role(GUEST_ROLE).permissions = [*security_manager.find_role("Gamma").permissions]
        self._clients: dict[str, Any] = {}
        self._right: dict[str, Any] = {}
        self.headers = {user: self._login(user) for user in PEOPLE}

    def _add_role(self, role: str) -> None:
        from superset.extensions import db, security_manager

        for user in PEOPLE:
            person = security_manager.find_user(user)
            person.roles = [*person.roles, security_manager.find_role(role)]
        db.session.commit()

    def open_to_guests(self) -> None:
        """Let guests read every dataset: without that, Superset refuses them what is nested."""
        from superset.extensions import db, security_manager

        right = security_manager.add_permission_view_menu("all_datasource_access", "all_datasource_access")
        guests = security_manager.find_role(GUEST_ROLE)
        guests.permissions = [*guests.permissions, right]
        db.session.commit()
        self.world.changes += 1

    def _login(self, user: str) -> dict[str, str]:
        login = {"username": user, "password": "inside-1!", "provider": "db"}
        answer = self.call({}, "POST", "/api/v1/security/login", login)
        return {"Authorization": f"Bearer {answer.json['access_token']}"}

    def call(self, headers: Any, verb: str, path: str, body: Any = None) -> Any:
        """A response; each request has an app context of its own, since `g` keeps row-level rules."""
        with self.app.app_context():
            client = self._clients.setdefault(str(headers), self.app.test_client())
            return client.open(path, method=verb, json=body, headers=headers)

    def answer(self, headers: Any, body: Any) -> tuple[Any, bool]:
        """Rows and annotations, or the status and the error, and whether all of it was cached."""
        try:
            return shown_over_http(self.call(headers, "POST", PATH, body))
        except Exception as error:  # noqa: BLE001  (the app gives the test what a web server answers with 500)
            return [500, type(error).__name__], False

    def right(self, headers: Any, body: Any) -> Any:
        """What Superset without a cache answers; it is asked once until a right or a rule changes."""
        key = json.dumps([self.world.changes, headers, body | {"force": False}])
        if key not in self._right:
            with self.world.no_cache():
                self._right[key] = self.answer(headers, body)[0]
        return self._right[key]

    def check(self, case: str, name: str, headers: Any, body: Any) -> bool:
        """Whether an answer was cached; one that is not what stock says now is noted."""
        answer, is_hit = self.answer(headers, body)
        right = self.right(headers, body)
        self.refused += isinstance(right[0], int)
        self.asked, self.hits = self.asked + 1, self.hits + is_hit
        if answer != right:
            self.different.append([case, name, answer, right])
        return is_hit


def shown_over_http(response: Any) -> tuple[Any, bool]:
    """Rows and annotations, or the status and the error, and whether all of it was cached."""
    if response.status_code != 200:
        return [response.status_code, str(response.json)[:200]], False
    results = response.json["result"]
    shown = [{name: result.get(name) for name in ("data", "annotation_data")} for result in results]
    return shown, all(result["is_cached"] for result in results)


def by_rules(web: Web) -> None:
    """Everybody asks everything nested, twice and forced, while a row-level rule is added, changed and removed."""
    for rule in (RULES[0], RULES[4], None):
        web.world.rule(rule)
        for name in NESTED:
            body = web.world.requests[name]
            for user in (*PEOPLE, *reversed(PEOPLE)):
                web.check(f"{rule}", f"{name} {user}", web.headers[user], body)
            web.check(f"{rule} forced", f"{name} u2", web.headers["u2"], body | {"force": True})
            web.check(f"{rule} after a forced one", f"{name} u1", web.headers["u1"], body)


def warmed(web: Web) -> list[bool]:
    """The first user's answers are warmed; whether the first user then hits, and everybody gets their own."""
    from superset.extensions import security_manager

    from superset_ext.host.people import Identity

    web.world.rule(RULES[0])
    first = Identity(security_manager.find_user("u1").id)
    hits = []
    for name in NESTED:
        body = warm(web.app, web.world.requests[name], first)
        hits.append(web.check("warmed", f"{name} u1", web.headers["u1"], body))
        for user in ("u2", "u3"):
            web.check("warmed", f"{name} {user}", web.headers[user], body)
    return hits


def warm(app: Any, body: dict[str, Any], identity: Any) -> dict[str, Any]:
    """Have a request replayed as warming does; the body of what was asked, which nobody has asked before."""
    from superset_ext.host.replay import request_context, run_chart_data

    body = body | {"queries": [query | {"row_limit": 99} for query in body["queries"]]}
    with request_context(app, {"path": PATH, "method": "POST", "json": body}, identity):
        run_chart_data(body, refresh=True)
    return body


def guests(web: Web) -> dict[str, Any]:
    """Guests of an embedded dashboard with rules of their own; whether a new token of the same guest hits."""
    tokens: dict[str, Any] = {}
    web.world.rule(None)
    for name in GUESTS:
        body, dashboard = page(web.world, name)
        rules = [{"dataset": web.world.datasets["ruled"], "clause": f"owner = '{user}'"} for user in PEOPLE]
        for user, rule in zip(PEOPLE, rules, strict=True):
            for _ in range(2):
                web.check("guest", f"{name} {user}", guest(user, dashboard, [rule]), body)
        tokens[name] = web.check("a new token", name, guest("u1", dashboard, rules[:1]), body)
        web.check("a user after guests", name, web.headers["u1"], body)
    return tokens


def refused(web: Web) -> int:
    """Guests whose role may not read what is nested, after a user was answered; how many requests Superset refuses."""
    before, web.refused = web.refused, 0
    for name in (*EMBEDDED, *REFUSED):
        body, dashboard = page(web.world, name)
        for headers in (web.headers["u1"], guest("u1", dashboard, []), guest("u2", dashboard, [])):
            web.check("a guest without the right", name, headers, body)
    refusals, web.refused = web.refused, before
    return refusals


def embedded(web: Web) -> list[bool]:
    """Guests who may read what is nested ask it, twice and forced, while a row-level rule is added, changed, removed.

    Returns:
        Whether a guest hits what was warmed for the same guest with another token.
    """
    pages = {name: page(web.world, name) for name in EMBEDDED}
    web.open_to_guests()
    for rule in (RULES[0], RULES[4], None):
        web.world.rule(rule)
        for name, (body, dashboard) in pages.items():
            first, second = (guest(user, dashboard, []) for user in ("u1", "u2"))
            for headers in (first, second, second, first):
                web.check(f"embedded {rule}", name, headers, body)
            web.check(f"embedded {rule} forced", name, second, body | {"force": True})
            web.check(f"embedded {rule} after a forced one", name, first, body)
            web.check(f"embedded {rule}, a user", name, web.headers["u3"], body)
    for name, (body, dashboard) in pages.items():
        _by_token(web, name, body, dashboard)
    web.world.rule(RULES[0])
    return [_warmed_guest(web, name, *pages[name]) for name in EMBEDDED]


def _by_token(web: Web, name: str, body: dict[str, Any], dashboard: str) -> None:
    """Guests whose tokens have rules of their own for the dataset that is nested deepest."""
    for user in (*PEOPLE, *PEOPLE):
        rule = {"dataset": web.world.datasets["ruled"], "clause": f"owner = '{user}'"}
        web.check("embedded, by token", f"{name} {user}", guest(user, dashboard, [rule]), body)
    web.check("embedded, no rule", name, guest("u1", dashboard, []), body)


def _warmed_guest(web: Web, name: str, body: dict[str, Any], dashboard: str) -> bool:
    body = warm(web.app, body, guest_identity("u1", dashboard))
    is_hit = web.check("embedded warmed", f"{name} u1", guest("u1", dashboard, []), body)
    web.check("embedded warmed", f"{name} u2", guest("u2", dashboard, []), body)
    return is_hit


def guest_identity(user: str, dashboard: str) -> Any:
    """A guest as warming knows it."""
    from superset.extensions import security_manager

    from superset_ext.host.people import Identity

    token = guest(user, dashboard, [])["X-GuestToken"]
    return Identity.of_claims(security_manager.parse_jwt_guest_token(token))


def page(world: World, name: str) -> tuple[dict[str, Any], str]:
    """A chart of this request on an embedded dashboard: the body that its page posts, and the dashboard's id."""
    from superset.extensions import db
    from superset.models.dashboard import Dashboard
    from superset.models.embedded_dashboard import EmbeddedDashboard
    from superset.models.slice import Slice

    body = json.loads(json.dumps(world.requests[name]))
    outer = {number: dataset for dataset, number in world.datasets.items()}[body["datasource"]["id"]]
    chart = world._chart(f"embedded {name}", outer, body)
    dashboard = Dashboard(dashboard_title=name, published=True, slices=[db.session.query(Slice).get(chart)])
    embedded = EmbeddedDashboard(dashboard=dashboard, allow_domain_list="")
    db.session.add_all([dashboard, embedded])
    db.session.commit()
    body["form_data"] |= {"slice_id": chart, "dashboardId": dashboard.id}
    return body, str(embedded.uuid)


def guest(user: str, dashboard: str, rules: list[Any]) -> dict[str, str]:
    """The headers of a guest, whose token is new each time."""
    import itertools

    from superset.extensions import security_manager

    clock = guest.__dict__.setdefault("clock", itertools.count())
    now = security_manager._get_current_epoch_time() - next(clock)
    before = security_manager._get_current_epoch_time
    security_manager._get_current_epoch_time = lambda: now
    try:
        resources = [{"type": "dashboard", "id": dashboard}]
        token = security_manager.create_guest_access_token({"username": user}, resources, rules)
    finally:
        security_manager._get_current_epoch_time = before
    return {"X-GuestToken": token.decode() if isinstance(token, bytes) else token}


def story(world: World) -> dict[str, Any]:
    """All of it; what differed, how much was asked and cached, and what single cases came to."""
    web = Web(world)
    by_rules(web)
    facts: dict[str, Any] = {"warmed": warmed(web), "new tokens": guests(web)}
    facts |= {"refused guests": refused(web), "warmed for guests": embedded(web)}
    counts = {"asked": web.asked, "hits": web.hits, "refused": web.refused}
    return {"different": web.different, **counts, **facts}

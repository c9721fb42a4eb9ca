"""What a run does, by what the registry says: order, what is left out, and which pages are not known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.host.people import Identity
from superset_ext.settings import Settings, Targets, load
from superset_ext.warm.registry.uses import HOURS, hour_of_week
from superset_ext.warm.run import plan as plans
from superset_ext.warm.run.candidates import UNKNOWN_MS
from superset_ext.warm.run.pages import Page, undiscovered
from superset_ext.warm.run.plan import Plan, plan
from superset_ext.warm.run.targets import Resolved

SETTINGS = load({"SUPERSET_EXT_CHART_DATA_TIMEOUT": "86400"})
HOUR = 3600.0
NOW = timedelta()
INSERT = """
INSERT INTO superset_ext.cache_request (fingerprint, kind, path, args, body, is_form, replayable, dashboard_id,
    chart_id, dataset_id, database_id, queries, uses, used_at, hours, first_seen, last_seen, cost_ms)
VALUES (%(name)s, 'data', '/', '', '{}', false, %(replayable)s, %(dashboard)s, %(chart)s, %(dataset)s, %(source)s, 1,
    %(uses)s, now() - %(age)s, %(hours)s::real[], now() - greatest(%(known)s, %(age)s), now() - %(age)s, %(cost)s)
"""
SCOPE = """
INSERT INTO superset_ext.cache_access_scope
    (fingerprint, access_scope, cache_keys, identity, user_id, guest, uses, used_at)
VALUES (%s, %s, %s, %s, %s, %s, 1, now())
"""


@pytest.fixture(autouse=True)
def no_superset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that names no dashboard asks Superset for nothing."""

    def unexpected(*_: Any) -> Any:
        raise AssertionError("Superset was asked")

    monkeypatch.setattr(plans, "representatives", unexpected)
    monkeypatch.setattr(plans, "roles_of", unexpected)


def know(
    database: LogDatabase,
    name: str,
    chart: int | None = 1,
    *,
    dashboard: int | None = None,
    dataset: int | None = None,
    source: int | None = None,
    uses: float = 1.0,
    hours: Mapping[int, float] | None = None,
    cost: float | None = 100.0,
    age: timedelta = NOW,
    known: timedelta = NOW,
    replayable: bool = True,
    scopes: Mapping[Identity, Sequence[str]] | None = None,
) -> None:
    """Put a request into the registry, as one user with one key unless scopes say otherwise."""
    profile = [float((hours or {}).get(hour, 0.0)) for hour in range(HOURS)] if hours else []
    values = {
        "name": name, "replayable": replayable, "dashboard": dashboard, "chart": chart, "dataset": dataset,
        "source": source, "uses": uses, "age": age, "hours": profile, "known": known, "cost": cost,
    }  # fmt: skip
    with database.transaction() as cursor:
        cursor.execute(INSERT, values)
        for identity, keys in (scopes or {Identity(1): (f"key-{name}",)}).items():
            cursor.execute(
                SCOPE, (name, f"{name}{identity.name}", list(keys), identity.name, identity.user_id, identity.guest)
            )


def coming(uses: float, ahead: int = 0) -> dict[int, float]:
    """A profile of so many uses in each of the three hours that begin so many hours from now."""
    first = hour_of_week(time.time()) + ahead
    return {(first + n) % HOURS: uses for n in range(3)}


def nothing(keys: Sequence[str]) -> list[float | None]:
    """Nothing is cached."""
    return [None] * len(keys)


def lives(**seconds: float) -> Callable[[Sequence[str]], list[float | None]]:
    """The entries that are cached, and for how long."""
    return lambda keys: [seconds.get(key.removeprefix("key-")) for key in keys]


def planned(
    database: LogDatabase,
    options: Mapping[str, Any] | None = None,
    *,
    settings: Settings = SETTINGS,
    charts: Collection[int] = (),
    dashboards: Collection[int] = (),
    datasets: Collection[int] = (),
    lasting: float = HOUR,
    seconds_left: plans.SecondsLeft = nothing,
) -> Plan:
    made = Targets.model_validate(options or {})
    named = Resolved(set(dashboards), set(charts), set(datasets))
    return plan(database, settings, made, named, lasting=lasting, seconds_left=seconds_left)


def names(made: Plan) -> list[str | None]:
    return [item.fingerprint for item in made.items]


def test_what_will_be_asked_goes_first(database: LogDatabase) -> None:
    """Intent: a chart of this hour goes before one of the evening that is used more; of equal chances the dearer
    goes first, and what has no known cost is taken as a second."""
    know(database, "evening", hours=coming(50, 12), uses=50, cost=9000)
    know(database, "often", hours=coming(3), uses=3, cost=10)
    know(database, "cheap", hours=coming(1), cost=100)
    know(database, "dear", hours=coming(1), cost=5000)
    know(database, "unknown", hours=coming(1), cost=None)
    know(database, "never", hours=None, uses=0, cost=2000)
    know(database, "other", 2, hours=coming(9))
    made = planned(database, charts=[1])
    assert names(made) == ["often", "dear", "unknown", "cheap", "evening", "never"]
    assert {item.action for item in made.items} == {"replay"}
    assert (made.fresh, made.left_out) == (0, 0)


def test_a_nightly_run_looks_at_the_whole_day(database: LogDatabase) -> None:
    """Intent: what counts is whether somebody asks before the next run, or before the entry goes."""
    know(database, "evening", hours=coming(1.5, 12))
    know(database, "soon", hours=coming(1))
    know(database, "in three days", hours=coming(2, 72))
    assert names(planned(database, charts=[1], lasting=86_400.0)) == ["evening", "soon", "in three days"]
    short = load({"SUPERSET_EXT_CHART_DATA_TIMEOUT": "3600"})
    assert names(planned(database, charts=[1], lasting=86_400.0, settings=short))[0] == "soon"
    week = load({"SUPERSET_EXT_CHART_DATA_TIMEOUT": str(14 * 86_400)})
    assert names(planned(database, charts=[1], lasting=0, settings=week))[0] == "in three days"


def test_a_rate_is_by_the_week(database: LogDatabase) -> None:
    """Intent: four uses in four weeks are less likely to come again within the hour than three in one."""
    know(database, "for weeks", hours=coming(4), known=timedelta(days=27))
    know(database, "new", hours=coming(3))
    assert names(planned(database, charts=[1])) == ["new", "for weeks"]


def test_what_was_left_alone_for_weeks_is_less_likely(database: LogDatabase) -> None:
    """Intent: a chart whose users went away three weeks ago goes after one that is used now."""
    know(database, "abandoned", hours=coming(2.2), age=timedelta(days=27), known=timedelta(days=60), cost=5000)
    know(database, "alive", hours=coming(2), known=timedelta(days=60))
    assert names(planned(database, charts=[1])) == ["alive", "abandoned"]


def test_what_lasts_is_left_alone_and_what_goes_too_soon_is_made_anew(database: LogDatabase) -> None:
    """Intent: a run does what will be missing before the next one, and says how much it did not need to do."""
    for name in ("lasts", "goes", "gone"):
        know(database, name)
    know(database, "half", scopes={Identity(1): ("key-lasts", "key-goes")})
    know(database, "partly", scopes={Identity(1): ("key-lasts", "key-gone")})
    know(database, "discovered", scopes={Identity(1): ()})
    know(database, "two", scopes={Identity(1): ("key-lasts",), Identity(2): ("key-gone",)})
    asked: list[Sequence[str]] = []

    def seconds_left(keys: Sequence[str]) -> list[float | None]:
        asked.append(keys)
        return lives(lasts=2 * HOUR, goes=HOUR / 2)(keys)

    made = planned(database, charts=[1], seconds_left=seconds_left)
    pairs = sorted((item.fingerprint, item.identity.user_id, item.action) for item in made.items)
    assert pairs == [
        ("discovered", 1, "replay"), ("goes", 1, "refresh"), ("gone", 1, "replay"), ("half", 1, "refresh"),
        ("partly", 1, "replay"), ("two", 2, "replay"),
    ]  # fmt: skip
    assert made.fresh == 2
    assert [sorted(keys) for keys in asked] == [["key-goes", "key-gone", "key-lasts"]]


def test_a_run_by_hand_makes_nothing_anew_that_is_there(database: LogDatabase) -> None:
    """Intent: with no next run to last until, what is cached is fresh."""
    know(database, "there")
    made = planned(database, charts=[1], lasting=0.0, seconds_left=lives(there=5.0))
    assert (made.items, made.fresh) == ([], 1)


def test_what_never_could_last_is_not_made_anew_each_time(database: LogDatabase) -> None:
    """Intent: entries of an hour and a run a day: what has more than half of its life left is not computed again."""
    know(database, "young")
    know(database, "old")
    settings = load({"SUPERSET_EXT_CHART_DATA_TIMEOUT": "3600"})
    made = planned(database, charts=[1], lasting=86_400.0, settings=settings,
                   seconds_left=lives(young=2000.0, old=1000.0))  # fmt: skip
    assert [(item.fingerprint, item.action) for item in made.items] == [("old", "refresh")]
    assert made.fresh == 1


def test_a_budget_takes_what_fits_in_order(database: LogDatabase) -> None:
    """Intent: what does not fit is counted, what comes after it may, and an unknown cost is taken as a second."""
    for name, uses, cost in (("a", 9, 3000), ("b", 8, 4000), ("c", 7, None), ("d", 6, 900), ("e", 5, 200)):
        know(database, name, hours=coming(uses / 10), cost=cost)
    know(database, "fresh", hours=coming(50), cost=60_000)
    made = planned(database, {"budget_seconds": 5}, charts=[1], seconds_left=lives(fresh=9 * HOUR))
    assert (names(made), made.fresh, made.left_out) == (["a", "c", "d"], 1, 2)
    assert sum(item.cost_ms or UNKNOWN_MS for item in made.items) <= 5000
    assert planned(database, {}, charts=[1]).left_out == 0


def test_items_say_all_that_a_worker_needs(database: LogDatabase) -> None:
    """Intent: a request is asked once a scope, as who had it last, under its source's limit."""
    know(database, "f", 3, dashboard=None, source=9, cost=250.0, scopes={Identity(4): ("a",), Identity(): ("b",)})
    made = planned(database, charts=[3])
    asked = {item.identity: (item.fingerprint, item.chart_id, item.database_id, item.cost_ms) for item in made.items}
    assert asked == {Identity(4): ("f", 3, 9, 250.0), Identity(): ("f", 3, 9, 250.0)}


def test_a_guest_has_the_registry_s_name(database: LogDatabase) -> None:
    """Intent: an item's `identity` is that of cache_access_scope, as its comment says."""
    guest = Identity.of_claims(
        {"user": {"username": "é"}, "resources": [{"type": "dashboard", "id": "x"}], "rls_rules": []}
    )
    know(database, "f", scopes={guest: ("a",)})
    [item] = planned(database, charts=[1]).items
    assert json.loads(item.identity.guest or "") == json.loads(guest.guest or "")
    assert item.identity.name == guest.name


def test_datasets_and_charts_are_named_together(database: LogDatabase) -> None:
    """Intent: what two targets name is done once."""
    know(database, "both", 1, dataset=5)
    know(database, "chart", 1, dataset=6)
    know(database, "dataset", 2, dataset=5)
    know(database, "neither", 3, dataset=7)
    assert sorted(map(str, names(planned(database, charts=[1], datasets=[5])))) == ["both", "chart", "dataset"]
    assert names(planned(database)) == []


def test_common_queries_are_those_that_cost_people_most(database: LogDatabase) -> None:
    """Intent: the target goes by use times cost, a week halving the uses; an unknown cost is taken as a second."""
    know(database, "rare and dear", uses=2, cost=10_000)  # 20 s
    know(database, "often and cheap", uses=100, cost=150)  # 15 s
    know(database, "unknown", uses=12, cost=None)  # 12 s
    know(database, "often, but long ago", uses=160, cost=900, age=timedelta(days=28))  # 9 s
    know(database, "cheap", uses=50, cost=100)  # 5 s
    by = ["rare and dear", "often and cheap", "unknown", "often, but long ago", "cheap"]
    for limit in (1, 3, 4):
        made = planned(database, {"targets": ["common_queries"], "limit": limit})
        assert sorted(map(str, names(made))) == sorted(by[:limit])


def test_frequent_charts_are_those_that_people_look_at(database: LogDatabase) -> None:
    """Intent: the target goes by decayed uses of all of a chart's requests, and takes all of these."""
    know(database, "filtered", 1, uses=4)
    know(database, "plain", 1, uses=4)
    know(database, "one", 2, uses=7, cost=90_000)
    know(database, "long ago", 3, uses=60, age=timedelta(days=28))
    know(database, "of no chart", None, uses=500)
    options = {"targets": ["frequently_accessed_charts"], "limit": 1}
    assert sorted(map(str, names(planned(database, options)))) == ["filtered", "plain"]
    assert sorted(map(str, names(planned(database, options | {"limit": 2})))) == ["filtered", "one", "plain"]


def test_what_cannot_be_asked_again_is_never_planned(database: LogDatabase) -> None:
    """Intent: a request whose values were not kept is in no plan, whatever names it."""
    know(database, "hidden", 1, dataset=5, uses=90, replayable=False)
    know(database, "plain", 2, dataset=5)
    options = {"targets": ["common_queries", "frequently_accessed_charts"]}
    assert names(planned(database, options, charts=[1, 2], datasets=[5])) == ["plain"]


def test_what_cannot_be_asked_again_takes_no_place(database: LogDatabase) -> None:
    """Intent: fifty queries are fifty that can be warmed."""
    know(database, "hidden", uses=90, replayable=False)
    know(database, "plain")
    assert names(planned(database, {"targets": ["common_queries"], "limit": 1})) == ["plain"]


def test_other_roles_that_open_a_dashboard_are_asked_for_too(
    database: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a request that one role has made is made for the others who open that dashboard, once a set of roles,
    and not for a role that has made it already; charts outside of it stay as they are."""
    viewer, editor, admin = (frozenset({role}) for role in (1, 2, 3))
    known = {11: viewer, 12: editor, 13: admin}

    def representatives(dashboards: Iterable[int]) -> Mapping[int, list[tuple[frozenset[int], int]]]:
        assert list(dashboards) == [5]
        return {5: [(viewer, 21), (editor, 22), (admin, 13)]}

    monkeypatch.setattr(plans, "representatives", representatives)
    monkeypatch.setattr(plans, "roles_of", lambda users: {user: known[user] for user in users if user in known})
    know(
        database,
        "a",
        1,
        dashboard=5,
        source=9,
        hours=coming(2),
        scopes={Identity(11): ("key-a",), Identity(12): ("key-b",)},
    )
    know(database, "b", 2, dashboard=5, hours=coming(1), scopes={Identity(99): ("key-c",)})
    know(database, "outside", 3, hours=coming(0.5))
    made = planned(database, dashboards=[5], charts=[3], seconds_left=lives(a=9 * HOUR))
    pairs = sorted((str(item.fingerprint), item.identity.user_id or 0) for item in made.items)
    assert pairs == [("a", 12), ("a", 13), ("b", 13), ("b", 21), ("b", 22), ("b", 99), ("outside", 1)]
    assert names(made)[-1] == "outside" and made.fresh == 1
    [added] = [item for item in made.items if (item.fingerprint, item.identity.user_id) == ("a", 13)]
    assert (added.action, added.dashboard_id, added.chart_id, added.database_id) == ("replay", 5, 1, 9)


def page(name: str, charts: Iterable[int], version: str = "v1", changed: datetime | None = None) -> Page:
    kind, number = name.split(":")
    moment = changed or datetime.now() - timedelta(hours=1)  # local, no zone
    return Page("dashboard" if kind == "dashboard" else "chart", int(number), version, frozenset(charts), moment)


def discovered(database: LogDatabase, name: str, version: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO superset_ext.cache_discovery VALUES (%s, %s, now(), 1, '{}')", (name, version))


def test_a_page_is_discovered_once_a_version(database: LogDatabase) -> None:
    """Intent: a headless browser opens what has changed since it was opened last, and nothing else."""
    discovered(database, "dashboard:1", "v1")
    discovered(database, "chart:1", "v0")
    same, other, new = page("dashboard:1", [1]), page("chart:1", [1]), page("dashboard:2", [1])
    assert undiscovered(database, [same, other, new]) == [other, new]
    assert undiscovered(database, []) == []


def test_what_people_have_opened_needs_no_browser(database: LogDatabase) -> None:
    """Intent: a page all of whose charts were seen on it since it changed is known; one that lacks a chart, was seen
    elsewhere only, or before it changed, is not."""
    know(database, "a", 1, dashboard=5)
    know(database, "b", 2, dashboard=5, age=timedelta(minutes=30))
    know(database, "c", 3, dashboard=6)
    know(database, "d", 4, age=timedelta(hours=2))
    seen = [page("dashboard:5", [1, 2]), page("chart:1", [1]), page("chart:3", [3])]
    lacking = [
        page("dashboard:5", [1, 2, 3]), page("dashboard:6", [1]), page("chart:4", [4]), page("chart:9", [9]),
        page("dashboard:5", [1, 2], changed=datetime.now() - timedelta(minutes=10)),
    ]  # fmt: skip
    assert undiscovered(database, [*seen, *lacking]) == lacking


@pytest.fixture(params=["Asia/Kolkata", "America/Los_Angeles", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A time zone for this process, as a server may have one."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_times_of_changes_are_local(zone: str, database: LogDatabase) -> None:
    """Intent: Superset writes when a page changed in the server's time, without a zone; east or west of Greenwich
    that neither hides a change nor makes one up."""
    know(database, "before", 1, age=timedelta(hours=2))
    know(database, "after", 2, age=timedelta(minutes=30))
    changed = datetime.now(UTC).astimezone().replace(tzinfo=None) - timedelta(hours=1)
    pages = [page(f"chart:{chart}", [chart], changed=changed) for chart in (1, 2)]
    assert undiscovered(database, pages) == pages[:1]


def test_a_page_of_unknown_age_is_opened(database: LogDatabase) -> None:
    """Intent: a page that says of no change when it was is not taken as known for what was seen before."""
    know(database, "a", 1)
    unknown = page("chart:1", [1], changed=datetime.min)
    assert undiscovered(database, [unknown]) == [unknown]


def test_a_page_with_hidden_requests_is_opened_each_time(database: LogDatabase) -> None:
    """Intent: requests that cannot be asked again are asked by a browser anew, on the page that they belong to."""
    know(database, "hidden", 1, dashboard=5, replayable=False)
    for name in ("dashboard:5", "chart:1", "dashboard:1", "chart:5"):
        discovered(database, name, "v1")
    pages = [page(name, [1]) for name in ("dashboard:5", "chart:1", "dashboard:1", "chart:5")]
    assert undiscovered(database, pages) == pages[:2]

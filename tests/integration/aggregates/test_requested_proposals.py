"""Which aggregates are proposed for charts that were never saved with a query, as whoever has opened them saw them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from superset_ext.host import substitutes
from testing.aggregate_tables import AS_NEW, SALES
from testing.in_process import InProcess
from testing.probes import until
from testing.routed import MONTH, SOLD, ask, body, client, guest, proven, rested, routed
from testing.routed_shop import Shop
from testing.unsaved_chart import unsaved_chart

CHART = "Sold by month"
BY_MONTH = {**MONTH, "metrics": [SOLD]}
RULE = "shop = 'shop3'"
HIDDEN = "a value that is a secret"
LOGGED = """
SELECT count(DISTINCT q.fingerprint), count(DISTINCT s.identity)
FROM superset_ext.query_performance_log AS q
JOIN superset_ext.cache_request AS r USING (database_id)
JOIN superset_ext.cache_access_scope AS s ON s.fingerprint = r.fingerprint
WHERE q.database_id = %s AND q.error IS NULL
"""


@pytest.fixture
def shop(superset_app: InProcess, source: Shop) -> Shop:
    """The source as new, with as many rows as are worth an aggregate, and nothing asked of it yet."""
    source.run(AS_NEW)
    source.run(SALES)
    source.run("INSERT INTO sales (shop, ts, amount) SELECT 'shop' || i % 5, timestamp '2024-01-01' + i * interval "
               "'1 minute', i % 7 FROM generate_series(1, 20000) AS s(i)")  # fmt: skip
    source.run("ANALYZE sales")
    for table in ("cache_request", "query_performance_log"):
        superset_app.rows(f"DELETE FROM superset_ext.{table} WHERE database_id = %s", (source.number,))
    return source


@pytest.fixture
def chart(superset_app: InProcess, shop: Shop) -> Iterator[int]:
    """A chart that was made without Explore: Superset has no query of it."""
    with unsaved_chart(superset_app, shop.sales, CHART, "table") as number:
        yield number


def opened(shop: Shop, chart: int | None, who: Any, **query: Any) -> None:
    form = {"slice_id": chart} if chart else {}
    asked = {**body(shop.sales, **{**BY_MONTH, **query}), "form_data": form}
    answer = who.post("/api/v1/chart/data", json=asked)
    assert answer.status_code == 200, answer.json


def propose(app: InProcess, shop: Shop, *words: str) -> dict[str, Any]:
    result = app.perf("aggregates", "propose", "--database", shop.name, "--json", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def ruled(shop: Shop) -> str:
    return next(user for user, clause in shop.rulers.items() if clause == RULE)


def test_charts_that_were_opened_are_proposed_for_built_for_and_routed(
    superset_app: InProcess, shop: Shop, chart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: a chart that Superset has no query of is proposed for once it was opened, by an administrator, by
    somebody under a rule for rows and by a guest under another; the rules' columns become keys. What is proposed is
    built as it is printed, answers all three, and is not proposed again. No value of a rule or filter is shown."""
    embedded = guest(superset_app, monkeypatch, [{"clause": "shop = 'shop1'"}])
    hidden = [{"col": "shop", "op": "!=", "val": HIDDEN}]
    opened(shop, chart, client(superset_app), filters=hidden)
    opened(shop, chart, client(superset_app, ruled(shop)))
    opened(shop, None, embedded)  # Superset lets a guest ask for no chart but as it is saved
    until(lambda: superset_app.rows(LOGGED, (shop.number,)) == [(2, 3)])  # both rules have one fingerprint
    answer = propose(superset_app, shop)
    (proposal,) = answer["proposals"]
    assert proposal["charts"] == [{"id": chart, "name": CHART}] and (answer["served"], answer["notes"]) == (2, [])
    assert '"shop"' in proposal["create"][1] and "month" in proposal["create"][1]
    text = superset_app.perf("aggregates", "propose", "--database", shop.name).output
    assert f"«{CHART}»" in text and answer["setting"] in text and max(map(len, plain(text))) <= 110
    for value in ("shop3", "shop1", HIDDEN):
        assert value not in text and value not in json.dumps(answer)
    assert shlex.join(proposal["build"]) in text
    words = proposal["build"][2:]
    done = superset_app.perf(*words, "--yes")
    assert done.exit_code == 0, (done.output, done.exception)
    again = propose(superset_app, shop)
    assert (again["proposals"], again["held"], again["served"]) == ([], 2, 0)
    one = routed(superset_app, shop)
    monkeypatch.setattr(substitutes, "substitutes", (one,))
    for who in ("admin", ruled(shop)):
        proven(superset_app, one, shop.sales, who, **BY_MONTH)
        assert ask(superset_app, shop.sales, who, **BY_MONTH).is_routed
    rested(one)


def plain(text: str) -> list[str]:
    """The lines of it that are no commands."""
    return [line for line in text.splitlines() if not line.startswith("   Build")]


@pytest.fixture
def nobody(superset_app: InProcess) -> Iterator[str]:
    """The name of a user who may see nothing."""
    from superset.extensions import db, security_manager

    with superset_app.app.app_context():
        role = security_manager.find_role("Public")
        security_manager.add_user("nobody", "No", "Body", "nobody@example.org", role, "a password")
    yield "nobody"
    with superset_app.app.app_context():
        db.session.delete(security_manager.find_user("nobody"))
        db.session.commit()


def test_as_one_user_only_what_that_user_may_ask(superset_app: InProcess, shop: Shop, chart: int, nobody: str) -> None:
    """Intent: with --user all requests are asked as that user: under the rules of that user, so that what others have
    sent without them is not what is served; of what a user may not ask nothing is proposed."""
    opened(shop, chart, client(superset_app))
    opened(shop, chart, client(superset_app, ruled(shop)))
    until(lambda: superset_app.rows(LOGGED, (shop.number,)) == [(2, 2)])
    assert (propose(superset_app, shop)["served"]) == 2
    own = propose(superset_app, shop, "--user", ruled(shop))
    assert own["served"] == 1 and "1 of 2 statements" in own["notes"][0]
    assert '"shop"' in own["proposals"][0]["create"][1]
    none = propose(superset_app, shop, "--user", nobody)
    assert (none["served"], none["proposals"]) == (0, [])
    assert any("cannot be asked again: Superset refuses" in note for note in none["notes"]), none["notes"]


def test_requests_whose_values_are_not_kept(superset_app: InProcess, shop: Shop, chart: int) -> None:
    """Intent: where the registry does not keep values, a statement with one is left out, and said so."""
    opened(shop, chart, client(superset_app), filters=[{"col": "shop", "op": "==", "val": HIDDEN}])
    until(lambda: superset_app.rows(LOGGED, (shop.number,)) == [(1, 1)])
    superset_app.rows(
        "UPDATE superset_ext.cache_request SET body = NULL, replayable = false WHERE chart_id = %s", (chart,)
    )  # fmt: skip
    answer = propose(superset_app, shop)
    assert answer["proposals"] == [] and "1 of 1 statements" in " ".join(answer["notes"])

"""Attempts to be given what Superset would not give: rights that change on every way, each followed by a request.

Works on the `World` of `testing/grants.py`; the same app without grants is the oracle. Each change is followed at once
by a request for what was given again before it.
"""

from __future__ import annotations

import io
import json
import random
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from testing import documents_asked, documents_site, grants_faults
from testing.grants import OTHERS, PEOPLE, World, same
from testing.grants_counts import write_down
from testing.grants_kinds import Kind, of_documents, of_models, of_pages, of_sql
from testing.grants_ways import WAYS, Way

Ask = Callable[[], tuple[int, Any]]
_ORACLE = 5
_COUNTED = 100  # changes after which the counts are written down
WHO = (*PEOPLE[:4], *OTHERS, "guest")


@dataclass
class Attack:
    """What an attack came to.

    Attributes:
        changes: how many were made, each followed at once by a request.
        given: requests that were given again before a change.
        refused: answers after a change that were no 200.
        unmodified: answers after a change that were a 304.
        unknown: requests of somebody who is there and active, who was taken for nobody (401).
        oracle: how many were compared with the oracle's; the others Superset itself has made.
        wrong: what differed from the oracle.
        failed: changes that Superset itself did not make.
    kinds, ways, asks: how often each was done.
    """

    changes: int = 0
    given: int = 0
    refused: int = 0
    unmodified: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    oracle: int = 0
    wrong: list[Any] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    asks: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """As a plain value."""
        return {**vars(self), "wrong": self.wrong[:5], "differ": len(self.wrong)}


def plan(world: World, who: Sequence[str]) -> list[Kind]:
    """All that may be done to these people, with the numbers that rows have now."""
    sources = (of_sql, of_sql, of_models, of_pages, of_documents)  # by SQL there are many ways
    return [kind for name in who for source in sources for kind in source(world, name)]


def rights(world: World, seed: int, changes: int) -> dict[str, Any]:
    """Changes of rights on every way, each followed at once by the request that was given again before."""
    chance, attack = random.Random(seed), Attack()
    random.seed(seed)
    _unlinked(world)
    _logged_in(world, WHO)
    kinds = plan(world, WHO)
    while attack.changes < changes:
        _one(world, chance, chance.choice(kinds), attack)
        _write_down("one by one", attack)
    return attack.as_json()


def without(world: World, seed: int, changes: int, fault: str, names: Sequence[str]) -> dict[str, Any]:
    """The same with a rule left out from now on, until an answer is wrong: raw SQL and these requests alone."""
    grants_faults.commit(fault)
    chance, attack = random.Random(seed), Attack()
    kinds = [kind for kind in of_sql(world, "p1") if kind.name in ("deactivated", "role taken", "rights taken")]
    while attack.changes < changes and not attack.wrong:
        _one(world, chance, chance.choice(kinds), attack, WAYS[:1], names)
    return attack.as_json()


def _write_down(name: str, attack: Attack) -> None:
    if attack.changes // _COUNTED != (attack.changes - 2) // _COUNTED:  # two are made at a time
        write_down(attack=name, **attack.as_json())


def at_once(world: World, seed: int, changes: int, number: int = 8) -> dict[str, Any]:
    """So many writers at once, each of whom changes what one person may; each compares that person's answers."""
    attacks = [Attack() for _ in range(number)]
    _unlinked(world)
    _logged_in(world, people := PEOPLE[:number])
    own = ("deactivated", "renamed", "role taken", "rights taken", "rule added", "ruled no more")
    plans = {name: [kind for kind in of_sql(world, name) if kind.name in own] for name in people}

    def write(name: str, attack: Attack) -> None:
        chance = random.Random(f"{seed} {name}")
        while attack.changes < changes / number:
            _one(world, chance, chance.choice(plans[name]), attack, (WAYS[0], WAYS[3], WAYS[4]))
            _write_down(f"at once, {name}", attack)

    threads = [threading.Thread(target=write, args=pair) for pair in zip(people, attacks, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = Attack(sum(a.changes for a in attacks), wrong=[wrong for attack in attacks for wrong in attack.wrong])
    total.refused = sum(attack.refused for attack in attacks)
    total.unmodified = sum(attack.unmodified for attack in attacks)
    total.unknown = sum((attack.unknown for attack in attacks), Counter())
    total.given = world.grants.hooks.given
    return total.as_json()


def _one(
    world: World,
    chance: random.Random,
    kind: Kind,
    attack: Attack,
    ways: Sequence[Way] = WAYS,
    names: Sequence[str] | None = None,
) -> None:
    """A change and its end, each followed at once by a request."""
    name = chance.choice(names or _WEIGHED)
    credential = chance.choice(("jwt", "session"))
    client = world.guest() if kind.who == "guest" else world.client(kind.who, credential)
    body = world.body(chance.choice(("t", "own")) if kind.who in PEOPLE else "t")
    if kind.who == "reader":
        body["form_data"]["dashboardId"] = world.closed_id
    ask = ASKS[name](world, client, body)
    for what, step in ((kind.do, "done"), (kind.undo, "undone")):
        _primed(world, name, ask, attack)
        way = "superset"
        if callable(what):
            try:
                what()
            except AssertionError as error:
                attack.failed[kind.name] = str(error)
        else:
            write = chance.choice(ways)
            way = write.__name__
            for _ in range(1 if step == "done" else 2):
                write(world, what)
                if way != "by_killed" or step == "done":
                    break
                write = ways[0]  # it may have been killed too soon
        attack.ways[way] += 1
        _compared(world, ask, (kind.name, kind.who, way, name, credential, step), attack)


def _primed(world: World, name: str, ask: Ask, attack: Attack) -> None:
    """Ask until the answer is given again, where it can be."""
    hooks = world.grants.hooks
    for _ in range(4 if name in GRANTED else 0):
        before = hooks.given
        status, _ = ask()
        if status != 200 or hooks.given > before:
            attack.given += hooks.given > before
            return


def _compared(world: World, ask: Ask, label: Any, attack: Attack) -> None:
    """Ask, and ask the oracle, unless it was Superset itself that has answered: then only now and then."""
    before = world.grants.hooks.given
    answer = ask()
    attack.changes += 1
    is_given = world.grants.hooks.given > before
    if is_given or attack.changes % _ORACLE == 0:
        attack.oracle += 1
        with world.off():
            expected = ask()
    else:
        expected = answer
    attack.refused += answer[0] != 200
    attack.unmodified += label[3].endswith(_AGAIN) and is_given
    if answer[0] == 401 and _is_active(world, label[1]):
        attack.unknown[f"{label[0]} {label[5]}, {label[1]}"] += 1
    attack.kinds[label[0]] += 1
    attack.asks[label[3]] += 1
    if not same(answer, expected):
        attack.wrong.append((label, answer, expected))


def _is_active(world: World, who: str) -> bool:
    """Whether somebody could log in now."""
    active = "SELECT FROM ab_user WHERE active AND username IN %s"
    return who == "guest" or bool(world.sql(active, (who, f"{who} renamed")))


def _logged_in(world: World, people: Sequence[str]) -> None:
    """Who is deactivated later cannot log in then."""
    for name in people:
        for kind in ("jwt", "session"):
            if name != "guest":
                world.client(name, kind)


def _unlinked(world: World) -> None:
    """Rows of the log do not keep a person from being deleted."""
    world.sql("ALTER TABLE logs DROP CONSTRAINT IF EXISTS logs_user_id_fkey")


def _post(world: World, client: Any, body: Any) -> Ask:
    return lambda: world.ask(client, body)


def _spaced(world: World, client: Any, body: Any) -> Ask:
    text = json.dumps(body, indent=3)
    return lambda: _answer(client.post("/api/v1/chart/data", data=text, content_type="application/json; charset=utf-8"))


def _form(world: World, client: Any, body: Any) -> Ask:
    return lambda: _answer(client.post("/api/v1/chart/data", data={"form_data": json.dumps(body)}))


def _get(world: World, client: Any, _body: Any) -> Ask:
    return lambda: _answer(client.get(f"/api/v1/chart/{world.chart_id}/data/"))


def _old(world: World, client: Any, body: Any) -> Ask:
    number = body["datasource"]["id"]
    form = {"viz_type": "bullet", "metric": "total", "datasource": f"{number}__table", **body["form_data"]}
    data = {"form_data": json.dumps(form)}
    return lambda: _answer(client.post("/superset/explore_json/", data=data))


def _as(kind: str, **form: Any) -> Callable[[World, Any, Any], Ask]:
    def ask(_world: World, client: Any, body: Any) -> Ask:
        wanted = body | {"result_format": kind, "form_data": body["form_data"] | form}
        return lambda: _answer(client.post("/api/v1/chart/data", json=wanted))

    return ask


def _document(name: str, *, with_etag: bool) -> Callable[[World, Any, Any], Ask]:
    """A document; `with_etag`, as a browser asks that has the last one, for which a 304 stands."""

    def ask(world: World, client: Any, body: Any) -> Ask:
        path = documents_site.paths(world, body["form_data"]["dashboardId"])[name]
        last: dict[str, Any] = {}

        def asked() -> tuple[int, Any]:
            answer = documents_asked.ask(client, path, last.get("etag") if with_etag else None)
            if answer.status == 304:
                return 200, last["words"]
            words = [_ageless(answer.words)]
            if answer.etag:
                last.update(etag=answer.etag, words=words)
            return answer.status, words

        return asked

    return ask


def _ageless(words: Any) -> Any:
    """Words without how long ago something was, which may be said otherwise a second later."""
    if isinstance(words, dict):
        return {name: _ageless(part) for name, part in words.items() if not name.endswith("_humanized")}
    return [_ageless(part) for part in words] if isinstance(words, list) else words


ASKS: dict[str, Callable[[World, Any, Any], Ask]] = {
    "json": _post, "spaced": _spaced, "form": _form, "saved": _get, "old": _old, "csv": _as("csv"),
    "streamed csv": _as("csv", row_limit=200_000), "xlsx": _as("xlsx"),
}  # fmt: skip
_AGAIN = ", again"
DOCUMENTS = {
    f"{name}{_AGAIN * again}": _document(name, with_etag=again)
    for name in documents_site.KINDS for again in (False, True)
}  # fmt: skip
_CHARTS = ("json", "spaced", "form", "saved", "old")
GRANTED = (*_CHARTS, *DOCUMENTS)
_WEIGHED = _CHARTS * 5 + tuple(ASKS) + tuple(DOCUMENTS)
ASKS |= DOCUMENTS


def _answer(response: Any) -> tuple[int, Any]:
    answer = response.get_json(silent=True)
    if answer is None:
        data = response.get_data()
        answer = _sheet(data) if data.startswith(b"PK") else data.decode("latin-1")
    return response.status_code, answer


def _sheet(data: bytes) -> str:
    """The cells of a workbook, which also says when it was made."""
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        return "".join(book.read(name).decode() for name in sorted(book.namelist()) if name.startswith("xl/worksheets"))

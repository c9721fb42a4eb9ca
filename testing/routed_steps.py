"""Random steps of people who ask for charts and of what changes beneath them; Superset is the oracle.

A step is a statement that somebody asks, or something that happens beneath. A request has several statements, as a
dashboard's filters and charts of two queries have, since most of a request's time is spent before its first one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from superset_ext.aggregates.tables.building import drop
from superset_ext.aggregates.tables.refreshing import refresh
from superset_ext.errors import AggregateError
from superset_ext.plans.compared.pairs import Key, Pairs, State
from testing.in_process import ADMIN, InProcess
from testing.routed import MEAN, NUMBER, SOLD, Answer, Routed, ask_all, guest, in_order, label_of, order_of, stock_all
from testing.routed_shop import Shop

_LEAST = {"expressionType": "SQL", "sqlExpression": "MIN(amount)", "label": "least"}
_MOST = {"expressionType": "SQL", "sqlExpression": "MAX(price)", "label": "most"}
_SHOPS = {"expressionType": "SQL", "sqlExpression": "COUNT(DISTINCT shop)", "label": "shops"}
_METRICS = (SOLD, NUMBER, MEAN, _LEAST, _MOST, _SHOPS)
_RULES = ("shop = 'shop2'", "shop IS NOT NULL", "amount < 5", "ts < '2024-01-20 00:00:00'", "id % 2 = 0")
_VIEWS = {
    "by_day": "SELECT DATE_TRUNC('day', ts) AS day, shop, COUNT(*) AS n, COUNT(amount) AS c, COUNT(price) AS d, "
    "SUM(amount) AS a, SUM(price) AS p, MIN(amount) AS low, MAX(price) AS high FROM sales GROUP BY 1, 2",
    "by_shop": "SELECT shop, SUM(amount) AS a, COUNT(*) AS n FROM sales GROUP BY shop",
    "by_week": "SELECT DATE_TRUNC('week', ts) AS w, COUNT(*) AS n, MAX(price) AS m FROM sales GROUP BY 1",
}
_CHANGES = (
    "UPDATE sales SET amount = {a} WHERE id % 17 = {b}", "DELETE FROM sales WHERE id % 31 = {b}",
    "INSERT INTO sales (shop, day, ts, amount, price) SELECT 'shop' || {b} % 9, date '2024-02-01', "
    "timestamp '2024-01-01' + i * interval '7 hours', nullif({a}, 3), i FROM generate_series(1, 40) i",
    "UPDATE sales SET shop = NULL WHERE id % 41 = {b}",
    "UPDATE sales SET ts = ts + interval '1 month' WHERE id % 29 = {b}",
    "TRUNCATE sales; INSERT INTO sales (shop, ts, amount, price) SELECT 'shop' || i % 3, timestamp '2024-02-27' + i * "
    "interval '3 hours', i % 5, i FROM generate_series(1, 300) i",
)  # fmt: skip


class Ready(Pairs):
    """Pairs of which each is in use from the first, since Superset is asked beside each answer."""

    def _state(self, key: Key) -> tuple[State, str]:
        state, reason = super()._state(key)
        return ("used", "") if state == "trying" else (state, reason)


class Steps:
    """Steps on a source, each of which a seed decides."""

    def __init__(
        self, app: InProcess, shop: Shop, one: Routed, chance: random.Random, patch: pytest.MonkeyPatch
    ) -> None:
        self._app, self._shop, self._one, self._chance = app, shop, one, chance
        self._guests = [guest(app, patch, [])]
        self._guests += [guest(app, patch, [{"dataset": shop.sales, "clause": rule}]) for rule in _RULES]
        self._roles = [ADMIN, "guest", *shop.rulers]
        self._is_impersonated = False
        for name in _VIEWS:
            self._build(name)
        for role in self._roles:  # as which a database is asked that is asked as each user
            shop.run(f"CREATE ROLE {role} LOGIN PASSWORD '{make_url(shop.url).password or 'x'}'; "
                     f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")  # fmt: skip

    def close(self) -> None:
        """Leave the source's server and Superset's database as they were."""
        self._impersonate(False)
        for role in self._roles:
            self._shop.run(f"DROP OWNED BY {role}; DROP ROLE {role}")

    def step(self, number: int) -> Counter[str]:
        """Some of them; what they were.

        Raises:
            AssertionError: somebody got another answer than stock's.
        """
        doings: dict[Callable[[], Counter[str]], int] = {
            self._asked: 30, self._changed: 6, self._refreshed: 10, self._built: 1,
            self._turned: 6 if self._is_impersonated else 1,
        }  # fmt: skip
        (doing,) = self._chance.choices(list(doings), list(doings.values()))
        try:
            return doing()
        except AssertionError as error:
            raise AssertionError(f"step {number}: {error}") from None

    def _asked(self) -> Counter[str]:
        who = self._chance.choice([ADMIN, *self._shop.rulers, *self._guests])
        dataset = self._chance.choice([self._shop.sales] * 4 + [self._shop.virtual, self._shop.jinja])
        queries = [self._query(dataset) for _ in range(self._chance.randint(1, 12))]
        ours, own = (ask(self._app, dataset, who, queries) for ask in (ask_all, stock_all))
        assert len(ours) == len(own), (who, dataset, queries, ours, own)
        counts: Counter[str] = Counter()
        for query, one, other in zip(queries, ours, own, strict=False):
            assert one.shown == other.shown, (who, dataset, query, one, other)
            assert in_order(query, one) == in_order(query, other), (who, dataset, query, one, other)
            assert not (one.is_routed and self._is_impersonated), (who, dataset, query, one)
            counts.update([_kind(one, self._is_impersonated), f"ordered: {order_of(query)}"])
        return counts

    def _turned(self) -> Counter[str]:
        self._impersonate(not self._is_impersonated)
        return Counter(["turned"])

    def _impersonate(self, does: bool) -> None:
        self._is_impersonated = does
        self._app.rows("UPDATE dbs SET impersonate_user = %s WHERE id = %s", (does, self._shop.number))

    def _query(self, dataset: int) -> dict[str, Any]:
        chance, is_table = self._chance, dataset == self._shop.sales
        metrics = chance.sample(_METRICS if is_table else _METRICS[:2], chance.randint(1, 2))
        columns: list[Any] = chance.choice(([], ["shop"]))
        if is_table and chance.random() < 0.5:
            columns = [*columns, _time(chance.choice(("P1D", "P1W", "P1M", "P3M")))]
        query: dict[str, Any] = {"columns": columns, "metrics": metrics, "filters": []}
        if chance.random() < 0.4:
            query["filters"] = [{"col": "shop", "op": "IN", "val": chance.sample(["shop0", "shop1", "shop2", "no"], 2)}]
        if is_table and chance.random() < 0.3:
            day = chance.randint(1, 28)
            query |= {"granularity": "ts", "time_range": f"2024-01-{day:02} : 2024-02-{day:02}"}
        return query | self._ordered(columns, metrics)

    def _ordered(self, columns: Sequence[Any], metrics: Sequence[Any]) -> dict[str, Any]:
        """An order by all columns, which leaves nothing to tie, perhaps with a limit; by a number; or none."""
        chance = self._chance
        kind = chance.choice(("all", "all", "metric", "none"))
        if kind == "none":
            return {}
        terms: list[Any] = [[metrics[0], chance.random() < 0.5]] if kind == "metric" or chance.random() < 0.5 else []
        if kind == "all":
            terms += [[label_of(one), chance.random() < 0.5] for one in chance.sample(list(columns), len(columns))]
        limit = {"row_limit": chance.choice((1, 3, 10))} if kind == "all" and chance.random() < 0.5 else {}
        return {"orderby": terms, **limit} if terms else {}

    def _changed(self) -> Counter[str]:
        change = self._chance.choice(_CHANGES).format(a=self._chance.randint(0, 9), b=self._chance.randint(0, 16))
        self._shop.run(change)
        return Counter(["change"])

    def _refreshed(self) -> Counter[str]:
        with self._shop.connection() as connection:
            for name in _VIEWS:
                if self._chance.random() < 0.8:
                    try:
                        refresh(connection, name)
                    except AggregateError:
                        continue
        if self._chance.random() < 0.9:
            self._look()
        return Counter(["refresh"])

    def _built(self) -> Counter[str]:
        name = self._chance.choice(list(_VIEWS))
        with self._shop.connection() as connection:
            drop(connection, name)
        self._build(name)
        return Counter(["build"])

    def _build(self, name: str) -> None:
        self._shop.build(_VIEWS[name], name)
        self._look()

    def _look(self) -> None:
        self._one.catalogue.look(self._shop.number)
        self._one._waiting.clear()


def _time(unit: str) -> dict[str, str]:
    return {"timeGrain": unit, "columnType": "BASE_AXIS", "sqlExpression": "ts", "label": "ts", "expressionType": "SQL"}


def _kind(answer: Answer, is_impersonated: bool) -> str:
    if answer.status != 200:
        return "refused by Superset"
    return "routed" if answer.is_routed else "impersonated" if is_impersonated else "own"

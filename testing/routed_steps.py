"""Random steps of people who ask for charts and of what changes beneath them; Superset is the oracle."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from superset_ext.aggregates.tables.building import drop
from superset_ext.aggregates.tables.refreshing import refresh
from superset_ext.errors import AggregateError
from superset_ext.plans.compared.pairs import Key, Pairs, State
from testing.in_process import ADMIN, InProcess
from testing.routed import MEAN, NUMBER, SOLD, Answer, Routed, Shop, ask_as, guest, stock_as

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
        return super()._state(key) if key in self._pairs else ("used", "")


class Steps:
    """Steps on a source, each of which a seed decides."""

    def __init__(
        self, app: InProcess, shop: Shop, one: Routed, chance: random.Random, patch: pytest.MonkeyPatch
    ) -> None:
        self._app, self._shop, self._one, self._chance = app, shop, one, chance
        self._guests = [guest(app, patch, [])]
        self._guests += [guest(app, patch, [{"dataset": shop.sales, "clause": rule}]) for rule in _RULES]
        for name in _VIEWS:
            self._build(name)

    def step(self, number: int) -> str:
        """One of them; what it was.

        Raises:
            AssertionError: somebody got another answer than stock's.
        """
        doings: dict[Callable[[], str], int] = {self._asked: 30, self._changed: 3, self._refreshed: 4, self._built: 1}
        (doing,) = self._chance.choices(list(doings), list(doings.values()))
        try:
            return doing()
        except AssertionError as error:
            raise AssertionError(f"step {number}: {error}") from None

    def _asked(self) -> str:
        who = self._chance.choice([ADMIN, *self._shop.rulers, *self._guests])
        dataset = self._chance.choice([self._shop.sales] * 4 + [self._shop.virtual, self._shop.jinja])
        query = self._query(dataset)
        ours, own = ask_as(self._app, dataset, who, **query), stock_as(self._app, dataset, who, **query)
        assert ours.shown == own.shown, (who, dataset, query, ours, own)
        return _kind(ours)

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
        if len(columns) == 1 and chance.random() < 0.3:
            query |= {"row_limit": 3, "orderby": [[columns[0], chance.random() < 0.5]]} if columns == ["shop"] else {}
        return query

    def _changed(self) -> str:
        change = self._chance.choice(_CHANGES).format(a=self._chance.randint(0, 9), b=self._chance.randint(0, 16))
        self._shop.run(change)
        return "change"

    def _refreshed(self) -> str:
        with self._shop.connection() as connection:
            for name in _VIEWS:
                if self._chance.random() < 0.8:
                    try:
                        refresh(connection, name)
                    except AggregateError:
                        continue
        if self._chance.random() < 0.9:
            self._look()
        return "refresh"

    def _built(self) -> str:
        name = self._chance.choice(list(_VIEWS))
        with self._shop.connection() as connection:
            drop(connection, name)
        self._build(name)
        return "build"

    def _build(self, name: str) -> None:
        self._shop.build(_VIEWS[name], name)
        self._look()

    def _look(self) -> None:
        self._one.catalogue.look(self._shop.number)
        self._one._waiting.clear()


def _time(unit: str) -> dict[str, str]:
    return {"timeGrain": unit, "columnType": "BASE_AXIS", "sqlExpression": "ts", "label": "ts", "expressionType": "SQL"}


def _kind(answer: Answer) -> str:
    return "routed" if answer.is_routed else "own"

"""With which text an aggregate answers a statement."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest

from superset_ext.aggregates.grain import UNITS, begun, common, derives
from superset_ext.aggregates.over import Allowed
from superset_ext.aggregates.view import Key
from testing.aggregate_sales import answer, view_for

ALL = (
    "SELECT shop, size, DATE_TRUNC('day', at) AS d, paid, COUNT(*) AS a, SUM(price) AS b, COUNT(price) AS c,"
    " SUM(size) AS e, COUNT(size) AS f, MIN(at) AS g, MAX(price) AS h, SUM(weight) AS i, COUNT(weight) AS j"
    " FROM sales GROUP BY 1, 2, 3, 4",
)
VIEW = view_for(*ALL)
ROWS = 'COALESCE(CAST(SUM(t."n") AS BIGINT), 0)'
FROM = "FROM aggregates.sales_1 AS t"
DAY = 't."at_day"'
TEXTS = {
    "SELECT COUNT(*) AS n FROM sales WHERE shop = 'a'": f"SELECT {ROWS} AS n {FROM} WHERE t.\"shop\" = 'a'",
    "SELECT SUM(size) AS s, AVG(size) AS a FROM sales": (
        'SELECT CAST(SUM(t."sum_size") AS BIGINT) AS s, (SUM(t."sum_size") / NULLIF(SUM(t."count_size"), 0)) AS a'
        f" {FROM}"
    ),
    "SELECT DATE_TRUNC('month', at) AS m, SUM(price) AS s FROM sales WHERE at >= '2024-01-01' GROUP BY 1 ORDER BY 1": (
        f"SELECT DATE_TRUNC('MONTH', {DAY}) AS m, SUM(t.\"sum_price\") AS s {FROM} WHERE {DAY} >= '2024-01-01'"
        f" GROUP BY DATE_TRUNC('MONTH', {DAY}) ORDER BY 1"
    ),
    "SELECT DATE_TRUNC('day', at) AS d, MAX(price) AS s FROM sales GROUP BY d": (
        f'SELECT {DAY} AS d, MAX(t."max_price") AS s {FROM} GROUP BY {DAY}'
    ),
    "SELECT EXTRACT(YEAR FROM at) AS y, COUNT(size) AS n FROM sales GROUP BY 1": (
        f'SELECT EXTRACT(YEAR FROM {DAY}) AS y, COALESCE(CAST(SUM(t."count_size") AS BIGINT), 0) AS n'
        f" {FROM} GROUP BY EXTRACT(YEAR FROM {DAY})"
    ),
    "SELECT shop, SUM(CASE WHEN paid THEN price ELSE 0 END) AS s FROM sales GROUP BY shop": (
        f'SELECT t."shop" AS shop, SUM(CASE WHEN t."paid" THEN t."sum_price" ELSE 0 END) AS s {FROM} GROUP BY t."shop"'
    ),
    "SELECT COUNT(paid) AS c FROM sales": (
        'SELECT COALESCE(CAST(SUM(CASE WHEN (t."paid") IS NULL THEN 0 ELSE t."n" END) AS BIGINT), 0) AS c ' + FROM
    ),
    "SELECT COUNT(DISTINCT shop) AS d, MIN(at) AS f FROM sales": (
        f'SELECT COUNT(DISTINCT t."shop") AS d, MIN(t."min_at") AS f {FROM}'
    ),
    "SELECT DISTINCT shop FROM sales ORDER BY shop LIMIT 10": (
        f'SELECT DISTINCT t."shop" AS shop {FROM} ORDER BY shop LIMIT 10'
    ),
    "SELECT x.shop, COUNT(*) AS n FROM sales AS x GROUP BY x.shop HAVING COUNT(*) > 1 ORDER BY n DESC, shop LIMIT 3": (
        f'SELECT t."shop" AS shop, {ROWS} AS n {FROM} GROUP BY t."shop" HAVING {ROWS} > 1 ORDER BY n DESC, shop LIMIT 3'
    ),
    "SELECT SUM(3) AS s FROM sales": f'SELECT CAST(SUM(3 * t."n") AS BIGINT) AS s {FROM}',
    "SELECT LOWER(shop) AS l, COUNT(*) AS n FROM sales GROUP BY LOWER(shop)": (
        f'SELECT LOWER(t."shop") AS l, {ROWS} AS n {FROM} GROUP BY LOWER(t."shop")'
    ),
}  # fmt: skip


@pytest.mark.parametrize("sql", TEXTS)
def test_the_text_over_the_aggregate(sql: str) -> None:
    """Intent: counts stay bigint and 0 of nothing, sums keep their type, averages are sums through counts."""
    assert answer(sql, VIEW) == TEXTS[sql]


def test_a_filter_of_time_is_a_constant() -> None:
    """Intent: what Superset has PostgreSQL work out for each row is worked out once, also for rows of an aggregate."""
    moment = "TO_TIMESTAMP('2024-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
    text = answer(f"SELECT COUNT(*) AS n FROM sales WHERE at >= {moment}", VIEW, Allowed(zone="UTC"))
    assert text == f"SELECT {ROWS} AS n {FROM} WHERE {DAY} >= CAST('2024-01-01 00:00:00.000000' AS TIMESTAMPTZ)"


def test_the_aggregate_itself() -> None:
    """Intent: it has one row for each group, NULL among them, and a name for everything that it keeps."""
    create, unique, analyze = VIEW.create()
    assert create.startswith('CREATE TABLE aggregates.sales_1 AS SELECT DATE_TRUNC(\'DAY\', "at") AS "at_day"')
    assert create.endswith('FROM "sales" AS t GROUP BY DATE_TRUNC(\'DAY\', "at"), "paid", "shop", "size"')
    assert unique.endswith('("at_day", "paid", "shop", "size") NULLS NOT DISTINCT') and analyze.startswith("ANALYZE")


def test_an_aggregate_without_keys_is_empty_where_its_table_is() -> None:
    """Intent: COUNT of an empty table stays 0 and a sum of constants NULL: no row counts as a row."""
    assert view_for("SELECT COUNT(*) AS n FROM sales").select().endswith("HAVING COUNT(*) > 0")


def test_what_several_statements_need_is_kept_once() -> None:
    """Intent: one aggregate keeps the grain from which all of theirs follow, and no finer one."""
    month, week = (
        f"SELECT DATE_TRUNC('{unit}', at) AS u, AVG(size) AS a FROM sales GROUP BY 1" for unit in ("month", "week")
    )
    assert view_for(month).keys == (Key("at", "month"),)
    both = view_for(month, week)
    assert both.keys == (Key("at", "day"),) and [one.function for one in both.measures] == ["sum", "count"]
    assert not answer(month, both).startswith("!") and not answer(week, both).startswith("!")


def test_names_are_unlike_whatever_their_case_and_length() -> None:
    """Intent: two keys of one column, and a column called n, have a column each."""
    view = replace(VIEW, keys=(Key("n"), Key("N"), Key("x" * 70, "day"), Key("x" * 70)))
    names = [name.lower() for name in view.names.values()]
    assert len(set(names)) == len(names) and "n" not in names and all(len(name) < 60 for name in names)


def test_a_limit_that_cuts_nothing_needs_no_order() -> None:
    """Intent: where there are never more groups than the LIMIT lets through, ties decide nothing."""
    sql = "SELECT shop, COUNT(*) AS n FROM sales GROUP BY shop ORDER BY n DESC LIMIT 20"
    assert answer(sql, VIEW).endswith("ORDER BY n DESC FETCH FIRST 20 ROWS WITH TIES")
    assert answer(sql, VIEW, Allowed(ties=True)).endswith("ORDER BY n DESC LIMIT 20")
    assert answer(sql, replace(VIEW, rows=20)).endswith("ORDER BY n DESC LIMIT 20")
    assert answer(sql, replace(VIEW, distinct={"shop": 20})).endswith("ORDER BY n DESC LIMIT 20")
    assert answer(sql, replace(VIEW, distinct={"shop": 21})).endswith("WITH TIES")


def test_which_grain_follows_from_which() -> None:
    """Intent: a grain follows from a finer one exactly where each moment of the finer lies in one of the coarser."""
    start, offsets = datetime(2023, 12, 25), [timedelta(seconds=second) for second in (0, 0.5, 1, 61, 3661)]
    moments = [start + timedelta(hours=7 * step) + offset for step in range(1500) for offset in offsets]
    cut = {unit: [first_of(moment, unit) for moment in moments] for unit in UNITS}
    for fine, coarse in product(UNITS, UNITS):
        groups: dict[datetime, set[datetime]] = {}
        for first, moment in zip(cut[fine], cut[coarse], strict=True):
            groups.setdefault(first, set()).add(moment)
        assert derives(fine, coarse) == all(len(group) == 1 for group in groups.values()), (fine, coarse)
    assert common("week", "month") == "day" and common("month", "year") == "month" and common(None, "day") is None


def first_of(moment: datetime, unit: str) -> datetime:
    """The last moment, to the second, at which the grain began."""
    first = moment.replace(microsecond=0)
    sizes = {"second": timedelta(0), "minute": timedelta(seconds=1), "hour": timedelta(minutes=1)}
    if unit in sizes:
        names = ("second", "minute")[: list(sizes).index(unit)]
        return first.replace(**dict.fromkeys(names, 0))  # type: ignore[arg-type]
    day = datetime(first.year, first.month, first.day)
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case _:
            return day.replace(day=1) if unit == "month" else day.replace(month=1, day=1)


@pytest.mark.parametrize(
    ("moment", "unit"),
    [
        (datetime(2024, 1, 1), "year"), (datetime(2024, 4, 1), "quarter"), (datetime(2024, 3, 1), "month"),
        (datetime(2024, 2, 26), "week"), (datetime(2024, 2, 29), "day"), (datetime(2024, 1, 1, 5), "hour"),
        (datetime(2024, 1, 1, 5, 1), "minute"), (datetime(2024, 1, 1, 0, 0, 1), "second"),
        (datetime(2024, 1, 1, 0, 0, 0, 1), None),
    ],
)  # fmt: skip
def test_which_grain_begins_at_a_moment(moment: datetime, unit: str | None) -> None:
    """Intent: a limit of time is exact over a grain only where it begins one."""
    assert begun(moment) == unit


LIMITED = {
    "shop = 'a' GROUP BY shop LIMIT 1": "LIMIT 1",
    "shop IN ('a', 'b') GROUP BY shop LIMIT 2": "LIMIT 2",
    "shop IN ('a', 'b', 'c') GROUP BY shop LIMIT 2": "LIMIT 3",
    "shop = 'a' AND size = 3 GROUP BY shop, size LIMIT 1": "LIMIT 1",
    "shop = 'a' GROUP BY shop, size ORDER BY size LIMIT 1": "LIMIT 1",
    "shop <> 'a' GROUP BY shop, size ORDER BY size LIMIT 1": "WITH TIES",
    "at >= '2024-01-01' AND at < '2024-04-01' GROUP BY DATE_TRUNC('month', at) LIMIT 3": "LIMIT 3",
    "at >= '2024-01-01' AND at < '2024-04-01' GROUP BY DATE_TRUNC('month', at) LIMIT 2": "LIMIT 3",
    "at >= '2024-01-01' AND at < '2024-04-02' GROUP BY DATE_TRUNC('month', at) LIMIT 3": "LIMIT 4",
    "at >= TO_TIMESTAMP('2024-01-01', 'YYYY-MM-DD') AND at < TO_TIMESTAMP('2024-04-01', 'YYYY-MM-DD')"
    " GROUP BY DATE_TRUNC('month', at) LIMIT 5": "LIMIT 5",
    "at >= TO_TIMESTAMP('2024-01-01', 'YYYY-MM-DD') AND at < TO_TIMESTAMP('2024-04-01', 'YYYY-MM-DD')"
    " GROUP BY DATE_TRUNC('month', at) LIMIT 4": "LIMIT 5",
    "at >= '2024-01-01' GROUP BY DATE_TRUNC('month', at) LIMIT 3": "LIMIT 4",
    "shop = 'a' OR shop = 'b' GROUP BY shop LIMIT 1": "LIMIT 2",
}  # fmt: skip


@pytest.mark.parametrize("end", LIMITED)
def test_conditions_bound_the_groups(end: str) -> None:
    """Intent: a LIMIT stands as it is only where conditions leave no more groups than it lets through, or leave one
    value to each key that ORDER BY does not name. Else the text asks for one more, which shows whether it cuts."""
    text = answer(f"SELECT COUNT(*) AS n FROM sales WHERE {end}", view_for(*ALL, rows=10**6), Allowed(zone="UTC"))
    assert text.endswith(LIMITED[end])


SERIES = (
    "SELECT DATE_TRUNC('day', at) AS at, shop AS shop, COUNT(*) AS n FROM sales JOIN (SELECT shop AS shop__, COUNT(*)"
    " AS mme_inner__ FROM sales GROUP BY shop ORDER BY mme_inner__ DESC LIMIT 5) AS series_limit ON shop = shop__"
    " GROUP BY DATE_TRUNC('day', at), shop ORDER BY n DESC LIMIT 10000"
)


def test_a_series_limit_is_one_of_groups() -> None:
    """Intent: the first groups come from the same aggregate; the source sees whether any tie where they are cut."""
    few = replace(VIEW, distinct={"shop": 5})
    first = f'SELECT t."shop" AS shop__, {ROWS} AS mme_inner__ {FROM} GROUP BY t."shop" ORDER BY mme_inner__ DESC'
    start = f'SELECT {DAY} AS at, t."shop" AS shop, {ROWS} AS n {FROM} JOIN'
    end = f'GROUP BY {DAY}, t."shop" ORDER BY n DESC LIMIT 10000'
    assert answer(SERIES, few) == f'{start} ({first} LIMIT 5) AS series_limit ON t."shop" = series_limit.shop__ {end}'
    sure = "1 / (CASE WHEN COUNT(*) OVER () > 5 THEN 0 ELSE 1 END) AS superset_ext_sure"
    assert answer(SERIES, VIEW) == (
        f"{start} (SELECT shop__, {sure} FROM ({first} FETCH FIRST 5 ROWS WITH TIES) AS first_ones) AS series_limit"
        f' ON t."shop" = series_limit.shop__ AND series_limit.superset_ext_sure = 1 {end}'
    )

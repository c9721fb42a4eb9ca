"""A plan keeps no value of its query, in whatever form that is written."""

# ruff: noqa: E501  (SQL that is easier to read in one line)
from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from superset_ext.plans.draw import drawing
from testing.databases import Databases
from testing.plans import connected, fill, reviewed

TIMES = re.compile(r"'ms': [\d.]+|[\d.,]+ ms")  # which may be any numbers
SECRETS = ("hush", "4711", "2031", "deadbeef", "815")
HOSTILE = (
    "SELECT id FROM orders WHERE note = 'hush' AND amount = 4711", "SELECT id FROM orders WHERE note = $$hush$$",
    "SELECT id FROM orders WHERE note = $t$hush'\"$t$", r"SELECT id FROM orders WHERE note = E'\'hush\\'",
    "SELECT id FROM orders WHERE note = U&'hush\\0041'", "SELECT id FROM orders WHERE note = 'it''s hush'",
    "SELECT id FROM orders WHERE note IN ('hush', 'hush hush') OR amount IN (4711, 815)",
    "SELECT id FROM orders WHERE note LIKE '%hush%' AND placed > '2031-04-05' AND placed < timestamp '2031-05-05 08:15:00'",
    "SELECT id FROM orders WHERE note::bytea = '\\xdeadbeef' OR id = -4711 OR amount > 4711.815e2 OR id = 0x1267",
    "SELECT id FROM orders WHERE note ~ 'hush' AND note !~* 'hush' AND note SIMILAR TO 'hush'",
    "SELECT amount AS \"hush 4711\", count(*) AS hush FROM orders GROUP BY 1 ORDER BY \"hush 4711\", hush",
    "SELECT t.\"hush 815\" FROM (SELECT amount AS \"hush 815\" FROM orders ORDER BY note OFFSET 1) AS t WHERE \"hush 815\" > 4711",
    "WITH \"it's hush\" AS MATERIALIZED (SELECT amount AS hush FROM orders) SELECT hush FROM \"it's hush\" WHERE hush = 4711",
    "SELECT CASE WHEN note = 'hush' THEN 4711 ELSE 815 END AS c, count(*) FROM orders GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('month', placed) AS __timestamp FROM orders WHERE placed + interval '4711 days' > now() GROUP BY 1",
    "SELECT id FROM orders WHERE ARRAY[note, 'hush'] && ARRAY['hush'] AND ROW(id, note) = ROW(4711, 'hush')",
    "SELECT id FROM orders WHERE to_json(note) ->> 'hush' = 'hush' AND jsonb_path_exists(to_jsonb(id), '$.hush ? (@ > 4711)')",
    "SELECT id, sum(amount) OVER (PARTITION BY note = 'hush' ORDER BY id + 4711) FROM few ORDER BY 2, note || 'hush'",
    "SELECT * FROM (VALUES (4711, 'hush'), (815, 'hush')) AS v (n, hush) WHERE n > 815",
    "SELECT * FROM generate_series(4711, 4815) AS \"it's hush\" WHERE \"it's hush\" < 4811",
    "SELECT regexp_matches(note, 'hush', 'g') FROM few WHERE id = ANY ('{4711,815}') /* hush */ -- hush",
    "SELECT o.id FROM orders AS o JOIN few AS f ON o.note = f.note || 'hush' AND o.amount + 4711 = f.amount",
    "SELECT id FROM orders WHERE amount NOT IN (SELECT amount + 4711 FROM few WHERE note <> 'hush')",
    "SELECT id FROM orders WHERE B'1010' = '1010' AND note > N'hush' AND X'1f' = X'1f' ORDER BY CASE WHEN id = 4711 THEN 'hush' END",
)  # fmt: skip


@pytest.fixture(scope="module")
def source(databases: Databases) -> Iterator[str]:
    with databases.empty() as url:
        fill(url)
        yield url


@pytest.mark.parametrize("sql", HOSTILE)
def test_no_value_is_in_a_plan(source: str, sql: str) -> None:
    """Intent: neither the tree, nor its drawing, nor what is advised repeats a value, a label or a comment."""
    with connected(source) as connection:
        if connection.server_version < 160_000:
            sql = sql.replace("0x1267", "4711")  # which has no such numbers yet
    review = reviewed(source, sql, analyze="now()" not in sql)
    texts = TIMES.sub("", f"{review.as_dict()} {review.text()} {drawing(review.plan)}")
    for secret in SECRETS:
        assert not re.search(rf"(?<![\d.,]){secret}", texts), (secret, review.text())

"""The tables of `aggregate_machine`, its aggregates, and what its writers run."""

from __future__ import annotations

_TABLE = "(k int, ts timestamp, shop text, amount int, price numeric)"
START = f"""
CREATE TABLE parts {_TABLE} PARTITION BY RANGE (k);
CREATE TABLE part_0 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (10) TO (20);
CREATE TABLE part_2 {_TABLE};
CREATE TABLE plain {_TABLE};
CREATE INDEX ON plain (ts);
INSERT INTO parts SELECT i % 20, '2024-01-01', 's' || i % 3, i, i / 3.0 FROM generate_series(1, 200) i;
INSERT INTO plain SELECT * FROM parts
"""
AGGREGATES = {
    "parts_by_k": "SELECT k, SUM(amount) AS a, COUNT(*) AS n, MIN(price) AS l, MAX(shop) AS h FROM parts GROUP BY k",
    "plain_by_day": "SELECT DATE_TRUNC('day', ts) AS d, shop, SUM(amount) AS a, MAX(price) AS h, COUNT(shop) AS c"
                    " FROM plain GROUP BY DATE_TRUNC('day', ts), shop",
    "plain_by_shop": "SELECT shop, MIN(amount) AS l, MAX(ts) AS h, COUNT(*) AS n FROM plain GROUP BY shop",
    "part_by_shop": "SELECT shop, SUM(amount) AS a, MAX(amount) AS h FROM part_0 GROUP BY shop",
    "plain_of_all": "SELECT SUM(amount) AS a, SUM(price) AS p, MIN(ts) AS l, COUNT(*) AS n FROM plain",
}  # fmt: skip
SWAP = """
CREATE TABLE anew (LIKE plain INCLUDING ALL); INSERT INTO anew SELECT * FROM plain WHERE k < 15;
ALTER TABLE plain RENAME TO gone; ALTER TABLE anew RENAME TO plain; DROP TABLE gone
"""
ATTACH = "ATTACH PARTITION part_2 FOR VALUES FROM (20) TO (30)"
WRITES = (
    "INSERT INTO {t} VALUES ({k}, '2024-01-{day:02}', {shop}, {day}, {k})",
    "INSERT INTO {t} SELECT {k}, timestamp '2024-01-{day:02}' + i * interval '7 hours', {shop}, i"
    " FROM generate_series(1, 4) i",
    "INSERT INTO {t} (k) VALUES ({k})",
    "UPDATE {t} SET amount = {day}, price = price * 2 WHERE {some}",
    "UPDATE {t} SET shop = {shop} WHERE k = {k}",
    "UPDATE {t} SET ts = '2024-01-{day:02} 12:00' WHERE {some}",
    "UPDATE parts SET k = k + 10 WHERE k = {k}",
    "DELETE FROM {t} WHERE {some}",
    "DELETE FROM {t} WHERE k = {k}",
    "UPDATE plain SET shop = {shop} WHERE {some}",
    "INSERT INTO {t} (k, shop, amount) VALUES ({k}, {shop}, {day} / 4.0)",
    "UPDATE plain SET amount = amount - 1, price = {k} WHERE ctid = (SELECT ctid FROM plain WHERE {some} LIMIT 1)",
    "UPDATE plain SET shop = {shop} WHERE ctid = (SELECT ctid FROM plain WHERE {some} LIMIT 1)",
    "DELETE FROM plain WHERE ctid = (SELECT ctid FROM plain WHERE {some} LIMIT 1)",
    "DELETE FROM plain WHERE shop = {shop}",
    "INSERT INTO plain (k, price) VALUES ({k}, 'NaN')",
    "MERGE INTO plain USING (VALUES (80), ({k})) v (i) ON k = i WHEN MATCHED AND amount > {day} THEN DELETE"
    " WHEN MATCHED THEN UPDATE SET amount = {day} WHEN NOT MATCHED THEN INSERT (k, shop) VALUES (i, {shop})",
    "DELETE FROM parts WHERE amount > {day}",
)  # fmt: skip

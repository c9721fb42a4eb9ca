"""Two workloads for index advice: statements that fill their tables, with the same rows each time, and the queries."""

from __future__ import annotations

# Tenants are of very different sizes: the first has a fifth of the rows. Row-level rules name the tenant.
TENANTS = """
CREATE TABLE orders AS
SELECT n AS id, (500 * pow(hashfloat8(n) / 4294967296.0 + 0.5, 4))::int AS tenant_id,
    abs(hashint4(n + 1)) % 60000 AS customer_id,
    (ARRAY['open', 'paid', 'sent', 'back'])[1 + abs(hashint4(n + 2)) % 4] AS status,
    date '2023-01-01' + n / 1400 AS placed, (abs(hashint4(n + 3)) % 100000 / 100.0)::numeric(12, 2) AS total,
    repeat('x', abs(hashint4(n + 4)) % 60) AS note
FROM generate_series(1, 1500000) AS n;
CREATE TABLE events AS
SELECT n AS id, o.tenant_id, o.id AS order_id, (ARRAY['seen', 'called', 'mailed'])[1 + abs(hashint4(n)) % 3] AS kind,
    o.placed + abs(hashint4(n + 5)) % 20 AS at
FROM generate_series(1, 500000) AS n JOIN orders AS o ON o.id = n * 3;
CREATE TABLE customers AS
SELECT n AS id, 'town ' || abs(hashint4(n)) % 900 AS town, n % 5 AS class FROM generate_series(0, 59999) AS n;
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE customers ADD PRIMARY KEY (id);
"""
TENANT_QUERIES = {
    "month": "SELECT date_trunc('month', placed) AS m, sum(total) FROM orders WHERE placed >= DATE '2025-01-01' "
    "AND tenant_id = 77 GROUP BY date_trunc('month', placed)",
    "open": "SELECT count(*) FROM orders WHERE status = 'open' AND tenant_id = 31",
    "customer": "SELECT placed, total FROM orders WHERE customer_id = 4711 AND tenant_id = 3 ORDER BY placed",
    "best": "SELECT customer_id, sum(total) AS s FROM orders WHERE placed >= DATE '2025-06-01' AND tenant_id = 120 "
    "GROUP BY customer_id ORDER BY s DESC LIMIT 10",
    "last": "SELECT id, placed, total FROM orders WHERE tenant_id = 210 ORDER BY placed DESC LIMIT 50",
    "towns": "SELECT c.town, sum(o.total) FROM orders AS o JOIN customers AS c ON c.id = o.customer_id "
    "WHERE o.placed >= DATE '2025-09-01' AND o.tenant_id = 45 GROUP BY c.town",
    "class": "SELECT c.class, count(*) FROM orders AS o JOIN customers AS c ON c.id = o.customer_id "
    "WHERE c.town = 'town 7' AND o.tenant_id = 8 GROUP BY c.class",
    "kinds": "SELECT kind, count(*) FROM events WHERE at >= DATE '2025-03-01' AND tenant_id = 77 GROUP BY kind",
    "calls": "SELECT o.status, count(*) FROM events AS e JOIN orders AS o ON o.id = e.order_id "
    "WHERE e.kind = 'called' AND e.at >= DATE '2025-10-01' AND e.tenant_id = 12 AND o.tenant_id = 12 GROUP BY o.status",
    "order": "SELECT at, kind FROM events WHERE order_id = 300030 AND tenant_id = 12",
}
# The tables and the 13 queries of the Star Schema Benchmark (O'Neil, O'Neil, Chen), a quarter of scale 1.
STAR = """
CREATE TABLE places AS
SELECT n, 'nation ' || n AS nation, (ARRAY['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'])[1 + n / 5] AS region
FROM generate_series(0, 24) AS n;
CREATE TABLE dates AS
SELECT to_char(d, 'YYYYMMDD')::int AS d_datekey, extract(year FROM d)::int AS d_year,
    to_char(d, 'YYYYMM')::int AS d_yearmonthnum, to_char(d, 'MonYYYY') AS d_yearmonth,
    extract(week FROM d)::int AS d_weeknuminyear
FROM generate_series(date '1992-01-01', date '1998-12-31', interval '1 day') AS d;
CREATE TABLE customer AS
SELECT k AS c_custkey, p.nation || ' ' || abs(hashint4(k + 9)) % 10 AS c_city, nation AS c_nation, region AS c_region
FROM generate_series(1, 7500) AS k JOIN places AS p ON p.n = abs(hashint4(k)) % 25;
CREATE TABLE supplier AS
SELECT k AS s_suppkey, p.nation || ' ' || abs(hashint4(k + 9)) % 10 AS s_city, nation AS s_nation, region AS s_region
FROM generate_series(1, 500) AS k JOIN places AS p ON p.n = abs(hashint4(k + 1)) % 25;
CREATE TABLE part AS
SELECT k AS p_partkey, 'MFGR#' || m AS p_mfgr, 'MFGR#' || m || c AS p_category, 'MFGR#' || m || c || b AS p_brand1
FROM generate_series(1, 50000) AS k, LATERAL (SELECT 1 + abs(hashint4(k)) % 5 AS m, 1 + abs(hashint4(k + 1)) % 5 AS c,
    1 + abs(hashint4(k + 2)) % 40 AS b) AS x;
CREATE TABLE lineorder AS
SELECT n / 4 AS lo_orderkey, n % 4 AS lo_linenumber, 1 + abs(hashint4(n / 4)) % 7500 AS lo_custkey,
    1 + abs(hashint4(n + 1)) % 50000 AS lo_partkey, 1 + abs(hashint4(n + 2)) % 500 AS lo_suppkey,
    to_char(date '1992-01-01' + abs(hashint4(n / 4 + 3)) % 2557, 'YYYYMMDD')::int AS lo_orderdate,
    1 + abs(hashint4(n + 4)) % 50 AS lo_quantity, abs(hashint4(n + 5)) % 5000000 AS lo_extendedprice,
    abs(hashint4(n + 6)) % 11 AS lo_discount, abs(hashint4(n + 7)) % 5000000 AS lo_revenue,
    abs(hashint4(n + 8)) % 100000 AS lo_supplycost
FROM generate_series(1, 1500000) AS n;
ALTER TABLE dates ADD PRIMARY KEY (d_datekey);
ALTER TABLE customer ADD PRIMARY KEY (c_custkey);
ALTER TABLE supplier ADD PRIMARY KEY (s_suppkey);
ALTER TABLE part ADD PRIMARY KEY (p_partkey);
"""
_FLIGHT_1 = (
    "SELECT sum(lo_extendedprice::bigint * lo_discount) AS revenue FROM lineorder, dates "
    "WHERE lo_orderdate = d_datekey AND "
)
_FLIGHT_2 = (
    "SELECT sum(lo_revenue), d_year, p_brand1 FROM lineorder, dates, part, supplier WHERE lo_orderdate = d_datekey "
    "AND lo_partkey = p_partkey AND lo_suppkey = s_suppkey AND {} GROUP BY d_year, p_brand1 ORDER BY d_year, p_brand1"
)
_FLIGHT_3 = (
    "SELECT {0}, {1}, d_year, sum(lo_revenue) AS revenue FROM customer, lineorder, supplier, dates "
    "WHERE lo_custkey = c_custkey AND lo_suppkey = s_suppkey AND lo_orderdate = d_datekey AND {2} "
    "GROUP BY {0}, {1}, d_year ORDER BY d_year, revenue DESC"
)
_FLIGHT_4 = (
    "SELECT {0}, sum(lo_revenue - lo_supplycost) AS profit FROM dates, customer, supplier, part, lineorder "
    "WHERE lo_custkey = c_custkey AND lo_suppkey = s_suppkey AND lo_partkey = p_partkey AND lo_orderdate = d_datekey "
    "AND {1} GROUP BY {0} ORDER BY {0}"
)
_YEARS = "d_year BETWEEN 1992 AND 1997"
_CITIES = "c_city IN ('nation 17 1', 'nation 17 5') AND s_city IN ('nation 17 1', 'nation 17 5')"
STAR_QUERIES = {
    "1.1": f"{_FLIGHT_1} d_year = 1993 AND lo_discount BETWEEN 1 AND 3 AND lo_quantity < 25",
    "1.2": f"{_FLIGHT_1} d_yearmonthnum = 199401 AND lo_discount BETWEEN 4 AND 6 AND lo_quantity BETWEEN 26 AND 35",
    "1.3": f"{_FLIGHT_1} d_weeknuminyear = 6 AND d_year = 1994 AND lo_discount BETWEEN 5 AND 7 "
    "AND lo_quantity BETWEEN 26 AND 35",
    "2.1": _FLIGHT_2.format("p_category = 'MFGR#12' AND s_region = 'AMERICA'"),
    "2.2": _FLIGHT_2.format("p_brand1 BETWEEN 'MFGR#2221' AND 'MFGR#2228' AND s_region = 'ASIA'"),
    "2.3": _FLIGHT_2.format("p_brand1 = 'MFGR#2239' AND s_region = 'EUROPE'"),
    "3.1": _FLIGHT_3.format("c_nation", "s_nation", f"c_region = 'ASIA' AND s_region = 'ASIA' AND {_YEARS}"),
    "3.2": _FLIGHT_3.format("c_city", "s_city", f"c_nation = 'nation 9' AND s_nation = 'nation 9' AND {_YEARS}"),
    "3.3": _FLIGHT_3.format("c_city", "s_city", f"{_CITIES} AND {_YEARS}"),
    "3.4": _FLIGHT_3.format("c_city", "s_city", f"{_CITIES} AND d_yearmonth = 'Dec1997'"),
    "4.1": _FLIGHT_4.format("d_year, c_nation", "c_region = 'AMERICA' AND s_region = 'AMERICA' "
                            "AND p_mfgr IN ('MFGR#1', 'MFGR#2')"),
    "4.2": _FLIGHT_4.format("d_year, s_nation, p_category", "c_region = 'AMERICA' AND s_region = 'AMERICA' "
                            "AND d_year IN (1997, 1998) AND p_mfgr IN ('MFGR#1', 'MFGR#2')"),
    "4.3": _FLIGHT_4.format("d_year, s_city, p_brand1", "c_region = 'AMERICA' AND s_nation = 'nation 9' "
                            "AND d_year IN (1997, 1998) AND p_category = 'MFGR#14'"),
}  # fmt: skip

"""TPC-H: its tables, its data from `tpchgen-cli`, and its queries. Loaded once into a folder, and used again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from testing.hypopg import MISSING, binaries, server

SCALE = "1"
# Where data is kept between two runs, and the generator where it is not on the path: `pip install tpchgen-cli`.
FOLDER = Path(os.environ.get("BENCH_TPCH", ".state/tpch")).resolve()
GENERATOR = os.environ.get("TPCHGEN", "tpchgen-cli")
TABLES = {
    "region": "r_regionkey integer, r_name char(25), r_comment varchar(152)",
    "nation": "n_nationkey integer, n_name char(25), n_regionkey integer, n_comment varchar(152)",
    "supplier": "s_suppkey integer, s_name char(25), s_address varchar(40), s_nationkey integer, s_phone char(15), "
    "s_acctbal decimal(15,2), s_comment varchar(101)",
    "customer": "c_custkey integer, c_name varchar(25), c_address varchar(40), c_nationkey integer, c_phone char(15), "
    "c_acctbal decimal(15,2), c_mktsegment char(10), c_comment varchar(117)",
    "part": "p_partkey integer, p_name varchar(55), p_mfgr char(25), p_brand char(10), p_type varchar(25), "
    "p_size integer, p_container char(10), p_retailprice decimal(15,2), p_comment varchar(23)",
    "partsupp": "ps_partkey integer, ps_suppkey integer, ps_availqty integer, ps_supplycost decimal(15,2), "
    "ps_comment varchar(199)",
    "orders": "o_orderkey integer, o_custkey integer, o_orderstatus char(1), o_totalprice decimal(15,2), "
    "o_orderdate date, o_orderpriority char(15), o_clerk char(15), o_shippriority integer, o_comment varchar(79)",
    "lineitem": "l_orderkey integer, l_partkey integer, l_suppkey integer, l_linenumber integer, "
    "l_quantity decimal(15,2), l_extendedprice decimal(15,2), l_discount decimal(15,2), l_tax decimal(15,2), "
    "l_returnflag char(1), l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date, "
    "l_shipinstruct char(25), l_shipmode char(10), l_comment varchar(44)",
}


def queries() -> dict[str, str]:
    """The queries of `tpch.sql` by their numbers."""
    parts = re.split(r"^-- (\d+)\n", Path(__file__).with_name("tpch.sql").read_text(), flags=re.M)
    return {number: text.strip().rstrip(";") for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def missing() -> str | None:
    """What this machine lacks; `None` where it has all."""
    if binaries() is None:
        return MISSING
    if not (FOLDER / "data").exists() and shutil.which(GENERATOR) is None:
        return "no generator of TPC-H; run: pip install tpchgen-cli, or set TPCHGEN to its path"
    return None


@contextmanager
def tpch() -> Iterator[Any]:
    """A connection to a database with the data, analysed, on a PostgreSQL with hypopg, beside nothing else.

    Raises:
        SystemExit: there is no generator, and no data yet.
    """
    with server(FOLDER / "data", "shared_buffers=1GB", "maintenance_work_mem=512MB", "max_wal_size=8GB") as url:
        with closing(psycopg2.connect(f"{url}/postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'tpch'")
                if cursor.fetchone() is None:
                    _load(url, cursor)
        with closing(psycopg2.connect(f"{url}/tpch")) as connection:
            yield connection


def _load(url: str, cursor: Any) -> None:
    """Under another name until it is whole."""
    files = _generated()
    cursor.execute("DROP DATABASE IF EXISTS tpch_new")
    cursor.execute("CREATE DATABASE tpch_new")
    with closing(psycopg2.connect(f"{url}/tpch_new")) as connection, connection.cursor() as loading:
        loading.execute("CREATE EXTENSION hypopg")
        for name, columns in TABLES.items():
            loading.execute(f"CREATE TABLE {name} ({columns})")
            with (files / f"{name}.csv").open() as rows:
                loading.copy_expert(f"COPY {name} FROM STDIN (FORMAT csv, HEADER)", rows)
        connection.commit()
        connection.autocommit = True
        loading.execute("VACUUM (FREEZE, ANALYZE)")
    cursor.execute("ALTER DATABASE tpch_new RENAME TO tpch")
    shutil.rmtree(files)


def _generated() -> Path:
    files = FOLDER / "files"
    if shutil.which(GENERATOR) is None:
        sys.exit("superset_ext: TPC-H needs its generator; run: pip install tpchgen-cli, or set TPCHGEN to its path")
    subprocess.run([GENERATOR, "csv", "-s", SCALE, "--output-dir", str(files)], check=True)
    return files

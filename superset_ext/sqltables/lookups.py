"""Functions that read what no FROM clause names: by a name in a text, from a file, or from another server.

Lists are over all dialects, since a name that means nothing in one costs nothing there.
"""

from __future__ import annotations

import re

from sqlglot import exp

from superset_ext.sqltables.table import Unknown

_LOCAL = (
    r"joinget\w*|hascolumnintable|catboostevaluate|modelevaluate"  # ClickHouse
    r"|(query|table|schema|database|cursor)_to_xml\w*|ts_stat|ts_rewrite|lo_get|pg_read_\w*file|pg_ls_\w+"  # PostgreSQL
    r"|pg_(total_)?relation_size|pg_(table|indexes|database|tablespace)_size|(next|curr|last)val"
    r"|load_file|load_extension|readfile|read_text|read_blob"  # MySQL, SQLite, DuckDB
    r"|in_?(partitioned_?)?subquery"  # Pinot
    r"|reflect2?|java_method|try_reflect"  # Hive, Spark
    r"|set_config"  # it changes where names are looked up
)
# What these read lies in other databases, or may lie there.
_REMOTE = (
    r"dict_?(get|has|isin|mapping|ionary)\w*|lookup|lookup_?table"  # ClickHouse, StarRocks, Doris, Druid, Pinot
    r"|remote(secure)?|cluster(allreplicas)?|(s3|url|file|hdfs|azureblobstorage|gcs|oss|cosn)(cluster)?"
    r"|mysql|postgresql|mongodb|redis|sqlite|jdbc|odbc|ytsaurus|arrowflight|executable|(deltalake|iceberg|hudi|paimon)\w*"
    r"|dblink\w*|http(_get|_post|_put|_head|_delete|_request)?"  # PostgreSQL
    r"|openquery|openrowset|opendatasource"  # SQL Server
    r"|external_query|remote_query|read_files|external_table"  # BigQuery, Dremio, Databricks, Kusto
    r"|(postgres|mysql|sqlite|odbc|mssql|bigquery|snowflake)_(scan\w*|query|execute)|(delta|ducklake)_scan"  # DuckDB
    r"|read_(csv|parquet|json|ndjson|xlsx|avro)\w*|files|extern"
)
_READS = re.compile(rf"(?:global)?(?:not)?in|{_LOCAL}|{_REMOTE}", re.IGNORECASE)
_BEYOND = re.compile(
    rf"\b(?:{_REMOTE})[\"`\]]?\s*\(|\b(?:system|raw)[\"`]?\s*\.\s*[\"`]?(?:query|raw_query|execute)[\"`]?\s*\("
    r"|\bquery\s*\(\s*['\"]catalog['\"]|\battach\b|\w@\w", re.IGNORECASE,
)  # fmt: skip
FUNCTIONS = (exp.Anonymous, exp.NextValueFor)  # what `check` has to see


def check(node: exp.Expression) -> None:
    """Refuse one of `FUNCTIONS` that reads what it does not name as a table.

    Raises:
        Unknown: it is one.
    """
    if not isinstance(node, exp.Anonymous) or _READS.fullmatch(node.name):
        raise Unknown(node.key)


def may_reach_beyond(sql: str) -> bool:
    """Whether a text whose tables cannot be known may read other databases than its own."""
    return _BEYOND.search(sql) is not None

"""The settings of the package as a whole: one field, one variable, one line of help."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Field

from superset_ext.settings.aggregates import AggregateRules
from superset_ext.settings.catalogs import Catalogs
from superset_ext.settings.probes import Probes
from superset_ext.settings.redis_urls import BrokerUrl, RedisUrl
from superset_ext.settings.regions import RegionSettings
from superset_ext.settings.rewrites import Rewrites
from superset_ext.settings.rules import Rules
from superset_ext.settings.schedules import NIGHTLY, Schedules
from superset_ext.settings.values import (
    SPLIT_AT_COMMAS,
    Addresses,
    ApiToken,
    Cron,
    DatabaseUrl,
    PostgresqlUrl,
    Record,
)  # fmt: skip

PREFIX = "SUPERSET_EXT_"

ChangeSource = Literal["edits", "sqllab", "uploads", "cachekey", "webhook", "watch", "probes"]
SOURCES: tuple[ChangeSource, ...] = get_args(ChangeSource)
Sources = Annotated[tuple[ChangeSource, ...], SPLIT_AT_COMMAS]


class Fields(Record):
    """What concerns the package as a whole, and the settings of each region."""

    # Servers.
    redis_url: RedisUrl | None = Field(
        None, repr=False, description="Redis or Valkey of all regions; where not set, Superset runs as stock."
    )
    database_url: DatabaseUrl | None = Field(
        None, repr=False, description="Superset's metadata database; where not set, the one of Superset's own config."
    )
    log_database_url: PostgresqlUrl | None = Field(
        None,
        repr=False,
        description="PostgreSQL database of the log; where not set, the metadata database, if that is PostgreSQL.",
    )
    reader_url: PostgresqlUrl | None = Field(
        None,
        repr=False,
        description="The log database with a role that may only read, for the performance dashboards; where not set, "
        "the package makes such a role.",
    )
    broker_url: BrokerUrl | None = Field(
        None,
        repr=False,
        description="Celery's broker; where not set, the database that `SUPERSET_EXT_REDIS_URL` names, or database 0.",
    )
    api_token: ApiToken = Field(
        "",
        repr=False,
        description="Bearer token, of at least 32 characters, that `/metrics`, `/cache/warm-up` and "
        "`/cache/invalidate` take; where not set, they take none.",
    )

    # Redis and its faults.
    read_timeout_ms: int = Field(50, ge=1, description="Milliseconds that a read from Redis waits for the next bytes.")
    connect_timeout_ms: int = Field(200, ge=1, description="Milliseconds that connecting to Redis may take.")
    total_timeout_ms: int = Field(1000, ge=1, description="Milliseconds that one cache operation may take in all.")
    circuit_failures: int = Field(
        5, ge=1, description="Failures in a row after which a process stops asking Redis until it answers again."
    )
    circuit_reset_seconds: float = Field(
        1.0, gt=0, description="Seconds between two checks whether a Redis that failed answers again."
    )

    # Entries.
    max_entry_bytes: int = Field(
        10 * 1024**2,
        ge=1024,
        description="Bytes, after compression, above which an entry is not stored (SQL Lab results have no limit).",
    )
    max_decoded_bytes: int = Field(
        512 * 1024**2, ge=1024, description="Bytes above which an entry is not decompressed, and counts as a miss."
    )
    max_result_rows: int = Field(100_000, ge=1, description="Rows above which a chart's result is not stored.")
    max_memory_share: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of `maxmemory` above which nothing is stored on a server whose policy is `noeviction`.",
    )
    key_memory: int = Field(
        50_000,
        ge=0,
        description="Keys of a region that are remembered after they are gone, to tell expired and evicted from cold.",
    )

    # How long answers live, and what ends them.
    grace_seconds: float = Field(
        300,
        ge=0,
        description="Seconds after its timeout, and at most once its timeout, for which a chart's answer is still "
        "served while one worker refreshes it; 0 for none.",
    )
    lease_seconds: float = Field(
        10, ge=1, description="Seconds after which another process runs a chart's query when the one that ran it died."
    )
    wait_seconds: float = Field(
        30,
        ge=0,
        description="Seconds that a request waits for the same query of another request before it runs its own; 0 for "
        "none.",
    )
    rules: Rules = Field(
        cast(Any, "[]"), description="Lifetimes by dataset, database, table or SQL, a JSON list; see «Freshness»."
    )
    sources: Sources = Field(
        cast(Any, ",".join(SOURCES)),
        description="What may report changes, separated by commas; a single comma switches all of them off.",
    )
    catalogs: Catalogs = Field(
        cast(Any, "[]"),
        description="Superset's database behind a catalog or foreign server of another, a JSON list; see «Freshness».",
    )
    views_seconds: float = Field(
        10, ge=0, description="Seconds for which a process remembers which tables a view of a PostgreSQL source reads."
    )
    replica_lag_seconds: float | None = Field(
        None,
        ge=0,
        description="Seconds that a PostgreSQL replica lags at most, for one that does not tell how far it has "
        "replayed; where not set, what such a one answers is not cached.",
    )
    probes: Probes = Field(
        cast(Any, "[]"), description="Questions to sources whether data changed, a JSON list; see «Freshness»."
    )
    rewarm: bool = Field(False, description="Whether what people use is warmed again after a change, in order of use.")
    rewarm_budget_seconds: float = Field(
        120, gt=0, description="Expected seconds of queries that are spent on warming again after one change."
    )

    # Grants.
    grants: Literal["off", "triggers", "stamps"] = Field(
        "triggers",
        description="Whether an answer is given again to the same identity before Superset's view runs: `off`; "
        "`triggers`, which tell of every change on the metadata database (PostgreSQL) and are made by `superset perf "
        "upgrade`; or `stamps` in Redis, which tell of what Superset itself writes, and for ten seconds only.",
    )
    grants_documents: bool = Field(
        True,
        description="Whether the documents that the opening of a dashboard asks for (the dashboard, its charts and "
        "datasets, favourites, databases) are given again too, where `GRANTS` is not `off`.",
    )
    grants_seconds: float = Field(300, gt=0, le=3600, description="Seconds for which an answer is given again at most.")

    # Sources.
    source_idle_seconds: float = Field(
        60,
        ge=0,
        description="Seconds for which a connection to a PostgreSQL source waits for the next chart's query; 0 for a "
        "new connection each time.",
    )
    source_idle_connections: int = Field(
        4, ge=1, le=100, description="Connections to one source that wait in a process at most."
    )

    # Superset's own log of events.
    event_log_seconds: float = Field(
        0.5,
        ge=0,
        le=60,
        description="Seconds for which a row of Superset's `logs` may wait in memory, if its request has only read, "
        "and which a crash can lose; 0 to write each within its request, as stock does.",
    )

    # Warming.
    warm_capture: bool = Field(
        True, description="Whether the chart requests of people are remembered for warming (needs the recorder)."
    )
    warm_keep_values: bool = Field(
        True,
        description="Whether filter values are remembered with requests; without them, a page is opened again instead.",
    )
    warm_registry_rows: int = Field(
        100_000, ge=100, description="Requests that are remembered at most; the least used go first."
    )
    warm_registry_days: int = Field(30, ge=1, description="Days after which a request that nobody makes is forgotten.")
    warm_schedules: Schedules = Field(cast(Any, NIGHTLY), description="Warming schedules, a JSON list; see «Warming».")
    warm_executor: str = Field(
        "",
        description="Name of the user as whom dashboards without an owner are opened, after `CACHE_WARMUP_EXECUTORS`.",
    )
    warm_base_url: str = Field(
        "", description="URL at which a worker's browser reaches Superset; where not set, `WEBDRIVER_BASEURL`."
    )
    warm_browser: str = Field(
        "", description="Path of the Chromium that opens dashboards; where not set, Playwright's own, or one on `PATH`."
    )
    warm_concurrency: int = Field(2, ge=1, le=64, description="Requests that a warming worker makes at a time.")
    warm_per_database: int = Field(
        4, ge=1, le=256, description="Requests that all warming workers together make at a time to one source database."
    )
    warm_batch_size: int = Field(10, ge=1, le=1000, description="Items that a warming worker takes at a time.")
    warm_timeout: int = Field(300, ge=1, description="Seconds that one item may take.")
    warm_attempts: int = Field(
        3, ge=1, le=20, description="Times that an item is tried in all when its error may be a passing one."
    )

    # The log.
    recorder: bool = Field(True, description="Whether hits and misses are counted into `cache_performance_log`.")
    recorder_flush_seconds: float = Field(5.0, gt=0, description="Seconds between two writes of the counters.")
    recorder_max_rows: int = Field(
        10_000,
        ge=100,
        description="Rows that a process keeps while the log database is away; beyond them, rows lose their detail.",
    )
    query_log: bool = Field(
        True,
        description="Whether each query to a source is logged in `query_performance_log`, its SQL without values.",
    )
    plans: bool = Field(
        True,
        description="Whether the plan of a slow query of a PostgreSQL source is kept in `query_plan`, without values, "
        "once a day and when its time doubles (needs the query log), whether the upkeep of sources is looked at "
        "once an hour, and whether indexes are advised once a day.",
    )
    plans_active: int = Field(
        8,
        ge=0,
        description="Queries that may be under way on a source for a plan still to be taken there, and for its upkeep "
        "and indexes to be looked at.",
    )
    rewrites: Rewrites = Field(
        cast(Any, "[]"),
        description="Datasets whose charts may be answered by a quicker text of their statement, and by which rules, a "
        "JSON list; see «Rewrites».",
    )
    rewrites_shadow: int = Field(
        50,
        ge=1,
        description="Of how many such answers one is compared with that of Superset's own statement, in the "
        "background; 1 for each.",
    )
    aggregates: AggregateRules = Field(
        cast(Any, "[]"),
        description="Datasets whose charts may be answered from aggregates, and what such an answer may differ by, a "
        "JSON list; see «Aggregates».",
    )
    aggregates_shadow: int = Field(
        50,
        ge=1,
        description="Of how many such answers one is compared with that of Superset's own statement, in the "
        "background; 1 for each.",
    )
    slow_query_ms: float = Field(1000, gt=0, description="Milliseconds from which a query counts as slow.")
    sampling: bool = Field(
        True, description="Whether cache servers and source databases are asked once a minute how busy they are."
    )
    retention_days: int = Field(30, ge=1, description="Days for which the rows of the log are kept.")
    partitions_ahead: int = Field(3, ge=1, le=60, description="Days for which partitions of the log are made ahead.")
    maintenance_cron: Cron = Field(
        "15 3 * * *",
        description="When partitions are made and dropped, in Celery's time zone (`timezone`; UTC where not set).",
    )

    # Dashboards, alerts and tuning.
    dashboards: bool = Field(True, description="Whether `superset perf upgrade` installs the performance dashboards.")
    refresh_seconds: float = Field(
        60, ge=10, description="Seconds between two refreshes of what the performance dashboards show."
    )
    alert_urls: Addresses = Field(
        cast(Any, ""),
        repr=False,
        description="Who is notified of alerts, separated by spaces: e-mail addresses (by Superset's own `SMTP_…`) "
        "and Apprise URLs.",
    )
    alert_seconds: float = Field(60, gt=0, description="Seconds between two evaluations of the alert rules.")
    auto_apply: bool = Field(
        False, description="Whether tuning sets timeouts and grace of single datasets, one step at a time."
    )
    tune_min_timeout: int = Field(60, ge=1, description="Seconds of the shortest timeout that tuning sets.")
    tune_max_timeout: int = Field(86_400, ge=1, description="Seconds of the longest timeout that tuning sets.")
    tune_max_grace: int = Field(3600, ge=0, description="Seconds of the longest grace that tuning sets.")
    tune_window_hours: float = Field(
        24, ge=1, description="Hours for which a step is measured; with 24, each side of it has every hour of the day."
    )

    metadata: RegionSettings
    query_results: RegionSettings
    chart_data: RegionSettings
    filter_state: RegionSettings
    explore_form_data: RegionSettings
    thumbnails: RegionSettings

"""Every knob, in one typed table, read from the environment and checked whole at start.

`Settings` holds what concerns the package, `RegionSettings` what each cache region has of its
own. The variable of a field is `SUPERSET_EXT_<FIELD>`, that of a region's field
`SUPERSET_EXT_<REGION>_<FIELD>`. This module imports the standard library and pydantic only:
Superset loads `superset_config` from inside `superset.config`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Literal, NoReturn, cast, get_args
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)  # fmt: skip

from superset_ext.errors import SettingsError

PREFIX = "SUPERSET_EXT_"
REDIS_SCHEMES = (
    "redis",
    "rediss",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
DAY = 86_400


class Region(StrEnum):
    """The six cache regions, by the name that the log and the settings use."""

    METADATA = "metadata"
    QUERY_RESULTS = "query_results"
    CHART_DATA = "chart_data"
    FILTER_STATE = "filter_state"
    EXPLORE_FORM_DATA = "explore_form_data"
    THUMBNAILS = "thumbnails"


# The performance dashboards' slugs, and the UUID of their database, as monitor/dashboards/assets has them.
OWN_DASHBOARDS = ("cache-performance", "warming-and-freshness", "query-performance")
OWN_DATABASE = "b24f23c2-0bca-595a-96b7-0f2cc2cd52f6"

# What Superset calls them in its config; query_results is its RESULTS_BACKEND, which is an object.
CONFIG_NAMES: Mapping[Region, str] = {
    Region.METADATA: "CACHE_CONFIG",
    Region.CHART_DATA: "DATA_CACHE_CONFIG",
    Region.FILTER_STATE: "FILTER_STATE_CACHE_CONFIG",
    Region.EXPLORE_FORM_DATA: "EXPLORE_FORM_DATA_CACHE_CONFIG",
    Region.THUMBNAILS: "THUMBNAIL_CACHE_CONFIG",
}


def _redis_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError(f"has the scheme {parts.scheme!r}; use one of {', '.join(REDIS_SCHEMES)}")
    if not parts.netloc:
        raise ValueError("names no host; write it as redis://host:6379")
    return value


def _database_url(value: str) -> str:
    if "://" not in value:
        raise ValueError("is not a database URL; write it as postgresql://user:password@host/name")
    return value


def _postgresql_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgresql+psycopg2://")):
        raise ValueError("must be a PostgreSQL URL; write it as postgresql://user:password@host/name")
    return value


def _cron(value: str) -> str:
    from croniter import croniter  # Superset's own dependency; loaded only where a line is given

    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError(f"is no cron line ({value!r}); write five fields, as in '15 3 * * *'")
    return value


def _api_token(value: str) -> str:
    if value and (len(value) < 32 or not value.isascii() or not value.isprintable() or " " in value):
        raise ValueError("is no token; write at least 32 ASCII characters without a space, as in: openssl rand -hex 32")
    return value


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
PostgresqlUrl = Annotated[str, AfterValidator(_postgresql_url)]
Cron = Annotated[str, AfterValidator(_cron)]
ApiToken = Annotated[str, AfterValidator(_api_token)]
Compression = Literal["zstd", "lz4", "none"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _zone(value: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"is no time zone ({value!r}); write a name such as Europe/Berlin") from None
    return value


def _json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"is no JSON ({error})") from None


def _named_once(value: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
    names = [schedule.name for schedule in value]
    if len(names) != len(set(names)):
        raise ValueError("names a schedule twice; give each a name of its own")
    return value


Target = Literal["popular_dashboards", "frequently_accessed_charts", "common_queries"]
TARGETS: tuple[Target, ...] = get_args(Target)


class Targets(_Table):
    """What a run warms; `all_dashboards` and the lists name things, `targets` picks them by use."""

    targets: tuple[Target, ...] = ()
    all_dashboards: bool = False
    dashboards: tuple[int, ...] = ()
    charts: tuple[int, ...] = ()
    datasets: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    limit: int = Field(50, ge=1, le=100_000)  # dashboards, charts and queries that each of `targets` picks
    budget_seconds: float | None = Field(None, gt=0)  # expected seconds of queries
    changed: tuple[str, ...] = ()  # what was read from these tags, as in `cache_invalidation_log.tags`
    concurrency: int | None = Field(None, ge=1, le=64)
    per_database: int | None = Field(None, ge=1, le=256)
    batch_size: int | None = Field(None, ge=1, le=1000)
    timeout: int | None = Field(None, ge=1)

    def is_empty(self) -> bool:
        """Whether it names nothing to warm."""
        named = (self.targets, self.dashboards, self.charts, self.datasets, self.tags, self.changed)
        return not self.all_dashboards and not any(named)


class Schedule(Targets):
    """A warming schedule."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    cron: Cron = "0 2 * * *"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    targets: tuple[Target, ...] = TARGETS


Schedules = Annotated[tuple[Schedule, ...], BeforeValidator(_json), AfterValidator(_named_once)]
NIGHTLY = '[{"name": "nightly", "cron": "0 2 * * *"}]'


Operation = Literal["user_action", "schema_change", "data_update"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
Strategy = Literal["time", "event", "usage"]


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from None
    return value


class Rule(_Table):
    """How long answers live that are asked of a dataset, a database, a table, or with some SQL.

    `time` is the default: an answer is fresh for `timeout` seconds (3600), and given for `grace` more while one worker
    refreshes it. `event`: it lives for `timeout` seconds (a day), and goes when something of `invalidate_on` happens.
    `usage`: it lives for `timeout` seconds (what Superset asks for), but goes after `max_age` seconds (7200) if it was
    read less than `min_hits` times (5) until then, and is not warmed again after a change.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    dataset: int | str | None = None
    database: str | None = None
    table: str | None = None
    sql: Annotated[str, AfterValidator(_regex)] | None = None
    strategy: Strategy = "time"
    timeout: int | None = Field(None, ge=0)
    grace: float | None = Field(None, ge=0)
    invalidate_on: tuple[Operation, ...] | None = None
    max_age: int | None = Field(None, ge=1)
    min_hits: int | None = Field(None, ge=1)
    cache: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        if self.dataset is None and self.database is None and self.table is None and self.sql is None:
            raise ValueError("matches everything; name a dataset, a database, a table or sql")
        if self.strategy == "event" and not self.invalidate_on:
            raise ValueError("is of the strategy event and has no invalidate_on; name user_action, schema_change or "
                             "data_update")  # fmt: skip
        if self.strategy != "usage" and (self.max_age is not None or self.min_hits is not None):
            raise ValueError("has max_age or min_hits, which are of the strategy usage")
        return self


def _rules(value: tuple[Rule, ...]) -> tuple[Rule, ...]:
    names = [rule.name for rule in value]
    if len(names) != len(set(names)):
        raise ValueError("names a rule twice; give each a name of its own")
    return value


ChangeSource = Literal["edits", "sqllab", "uploads", "cachekey", "webhook", "watch", "probes"]
SOURCES: tuple[ChangeSource, ...] = get_args(ChangeSource)


def _words(value: Any) -> Any:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _addresses(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


Addresses = Annotated[tuple[str, ...], BeforeValidator(_addresses)]
Sources = Annotated[tuple[ChangeSource, ...], BeforeValidator(_words)]
Rules = Annotated[tuple[Rule, ...], BeforeValidator(_json), AfterValidator(_rules)]


_PART = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')
_NAME = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern})){{0,2}}")


def _name_or_id(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError('is neither a name nor an id; write "examples", or 1')
    return value


def _table_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"is no table ({value!r}); write schema.table, and a part that has a dot in double quotes")
    return value


NameOrId = Annotated[int | str, BeforeValidator(_name_or_id)]
TableName = Annotated[str, AfterValidator(_table_name)]
ProbeMethod = Literal["auto", "statistics", "max", "count"]


class Probe(_Table):
    """A question to a source whose answer stays the same while the data does.

    `auto` is the largest value of `column` where one is named, else PostgreSQL's statistics, else the number of rows.
    """

    database: NameOrId  # of Superset
    table: TableName | None = None
    dataset: NameOrId | None = None  # of Superset; a name is schema.name
    sql: Annotated[str, Field(min_length=1)] | None = None
    column: Annotated[str, Field(min_length=1)] | None = None
    method: ProbeMethod = "auto"
    every: float = Field(60, ge=5)  # seconds
    patience: float = Field(300, ge=0)  # seconds that it may fail before its charts go to the database
    timeout: float = Field(10, gt=0, le=600)  # seconds

    @field_validator("dataset")
    @classmethod
    def _one_of_them(cls, value: int | str | None, info: ValidationInfo) -> int | str | None:
        if (value is None) == (info.data.get("table") is None) and "table" in info.data:
            raise ValueError("and table: name exactly one of them")
        return value

    @field_validator("method")
    @classmethod
    def _one_question(cls, value: ProbeMethod, info: ValidationInfo) -> ProbeMethod:
        sql, column = info.data.get("sql"), info.data.get("column")
        if sql is not None and (column is not None or value != "auto"):
            raise ValueError("and column say what sql says already; leave them out, or sql")
        if value == "max" and column is None:
            raise ValueError("is max, which needs a column that grows, as updated_at")
        if value in ("statistics", "count") and column is not None:
            raise ValueError(f"is {value}, which reads no column; leave column out, or write max")
        return value

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.database}: {self.table if self.dataset is None else f'dataset {self.dataset}'}"

    @property
    def key(self) -> str:
        """Which question it is, and how it is asked: 32 characters."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:32]

    def place(self) -> tuple[str, str, str]:
        """Catalog, schema and name of the table, `""` for what is not said."""
        parts = [quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(self.table or "")]
        catalog, schema, name = [""] * (3 - len(parts)) + parts
        return catalog, schema, name


def _asked_once(value: tuple[Probe, ...]) -> tuple[Probe, ...]:
    if len({probe.key for probe in value}) != len(value):
        raise ValueError("asks the same twice; leave one out")
    return value


Probes = Annotated[tuple[Probe, ...], BeforeValidator(_json), AfterValidator(_asked_once)]


class RegionSettings(_Table):
    """What each of the six regions has of its own."""

    backend: Literal["redis", "metastore"] = Field(
        "redis", description="`redis`, or `metastore` for Superset's own (filter_state and explore_form_data only)."
    )
    url: RedisUrl | None = Field(
        None, repr=False, description="Redis of this region; `SUPERSET_EXT_REDIS_URL` where not set."
    )
    db: int = Field(
        0, ge=0, le=1023, description="Redis database number, where the URL names none (a cluster has only 0)."
    )
    prefix: str = Field("", min_length=1, max_length=64, description="What each key of the region begins with.")
    timeout: int = Field(
        300, ge=0, description="Seconds an entry lives where Superset names no timeout; 0 is for ever."
    )
    pool_size: int = Field(10, ge=1, le=10_000, description="Connections a process keeps to this region at most.")
    retry_on_timeout: bool = Field(
        True, description="Ask Redis once more after a read timed out, within the total budget."
    )
    compression: Compression = Field("zstd", description="`zstd`, `lz4` or `none`.")
    compression_min_size: int = Field(1024, ge=0, description="Bytes under which an entry is stored as it is.")
    compression_level: int = Field(1, ge=1, le=19, description="zstd's level; lz4 has none.")


_REGION_DEFAULTS: dict[Region, dict[str, Any]] = {
    Region.METADATA: {"db": 1, "prefix": "superset_", "timeout": 300, "pool_size": 50},
    Region.QUERY_RESULTS: {"db": 2, "prefix": "query_", "timeout": 600, "pool_size": 20, "compression": "none"},
    Region.CHART_DATA: {"db": 3, "prefix": "chart_", "timeout": 900, "pool_size": 30},
    Region.FILTER_STATE: {"db": 4, "prefix": "filter_", "timeout": 90 * DAY, "pool_size": 10},
    Region.EXPLORE_FORM_DATA: {"db": 5, "prefix": "explore_", "timeout": 7 * DAY, "pool_size": 10},
    Region.THUMBNAILS: {"db": 6, "prefix": "thumb_", "timeout": 7 * DAY, "pool_size": 5},
}


class Settings(_Table):
    """What concerns the package as a whole."""

    redis_url: RedisUrl | None = Field(
        None, repr=False, description="Redis or Valkey of all regions. Without it Superset runs as stock."
    )
    database_url: DatabaseUrl | None = Field(
        None, repr=False, description="Superset's metadata database. Superset's own setting where not set."
    )
    log_database_url: PostgresqlUrl | None = Field(
        None, repr=False, description="PostgreSQL of the log tables; the metadata database where that is PostgreSQL."
    )
    reader_url: PostgresqlUrl | None = Field(
        None,
        repr=False,
        description="The log database with a role that may only read, for the performance dashboards; a role is made "
        "where not set.",
    )
    dashboards: bool = Field(True, description="Install the performance dashboards with `superset perf upgrade`.")
    broker_url: str | None = Field(
        None, repr=False, description="Celery's broker; database 0 of `SUPERSET_EXT_REDIS_URL` where not set."
    )
    read_timeout_ms: int = Field(50, ge=1, description="Milliseconds of silence that a read from Redis may last.")
    connect_timeout_ms: int = Field(200, ge=1, description="Milliseconds to connect to Redis.")
    total_timeout_ms: int = Field(1000, ge=1, description="Milliseconds that one cache operation may take in all.")
    circuit_failures: int = Field(5, ge=1, description="Failures in a row after which Redis is left alone for a while.")
    circuit_reset_seconds: float = Field(1.0, gt=0, description="Seconds between two probes of a Redis that failed.")
    max_entry_bytes: int = Field(
        10 * 1024**2, ge=1024, description="Stored bytes above which an entry is skipped (SQL Lab results have no cap)."
    )
    max_decoded_bytes: int = Field(
        512 * 1024**2, ge=1024, description="Bytes that an entry may grow to when it is decompressed."
    )
    max_result_rows: int = Field(100_000, ge=1, description="Rows above which a chart's result is not cached.")
    max_memory_share: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of `maxmemory` above which nothing is stored on a server whose policy is `noeviction`.",
    )
    key_memory: int = Field(
        50_000, ge=0, description="Keys a region remembers after they are gone, to tell expired and evicted from cold."
    )
    recorder: bool = Field(True, description="Count hits and misses into `cache_performance_log`.")
    recorder_flush_seconds: float = Field(5.0, gt=0, description="Seconds between two flushes of the counters.")
    recorder_max_rows: int = Field(
        10_000,
        ge=100,
        description="Rows kept in memory while the log database is away; the rest is folded and counted.",
    )
    retention_days: int = Field(30, ge=1, description="Days that raw rows of the log are kept.")
    partitions_ahead: int = Field(3, ge=1, le=60, description="Day partitions created ahead.")
    warm_capture: bool = Field(
        True,
        description="Remember which chart requests people make, so that they can be warmed (needs the recorder).",
    )
    warm_keep_values: bool = Field(
        True,
        description="Keep filter values in remembered requests; without, such requests are discovered again instead.",
    )
    warm_registry_rows: int = Field(100_000, ge=100, description="Remembered requests at most; the least used go.")
    warm_registry_days: int = Field(30, ge=1, description="Days after which a request that nobody makes is forgotten.")
    warm_schedules: Schedules = Field(
        cast(Any, NIGHTLY), description="Warming schedules, a JSON list; see «Warming» for what each may say."
    )
    warm_executor: str = Field(
        "",
        description="User name as whom dashboards are discovered that have no owner, after `CACHE_WARMUP_EXECUTORS`.",
    )
    warm_base_url: str = Field(
        "", description="URL by which a worker's browser reaches Superset; `WEBDRIVER_BASEURL` where not set."
    )
    warm_browser: str = Field(
        "", description="Chromium executable for discovery; Playwright's own, or one on the path, where not set."
    )
    warm_concurrency: int = Field(2, ge=1, le=64, description="Requests that a warming worker makes at a time.")
    warm_per_database: int = Field(
        4, ge=1, le=256, description="Requests that all warming workers make at a time to one source database."
    )
    warm_batch_size: int = Field(10, ge=1, le=1000, description="Items that a warming worker takes at a time.")
    warm_timeout: int = Field(300, ge=1, description="Seconds that one item may take.")
    warm_attempts: int = Field(3, ge=1, le=20, description="Times that an item is tried when its fault may pass.")
    api_token: ApiToken = Field(
        "",
        repr=False,
        description="Bearer token for warm-up over HTTP, at least 32 characters; none is accepted where not set.",
    )
    grace_seconds: float = Field(
        300,
        ge=0,
        description="Seconds that a chart's answer may still be given after its timeout, and at most once its timeout, "
        "while one worker refreshes it; 0 for never.",
    )
    lease_seconds: float = Field(
        10, ge=1, description="Seconds after which others run a chart's query when the process that ran it has died."
    )
    wait_seconds: float = Field(
        30,
        ge=0,
        description="Seconds that a request waits for the same query of another one, before it runs its own; 0 for "
        "never.",
    )
    sources: Sources = Field(
        cast(Any, ",".join(SOURCES)),
        description="Who may say that something changed, separated by commas; a single comma stands for nobody.",
    )
    views_seconds: float = Field(
        10, ge=0, description="Seconds for which it is remembered which tables a view of a PostgreSQL source reads."
    )
    rewarm: bool = Field(False, description="Warm what people use again after a change, in order of use.")
    rewarm_budget_seconds: float = Field(
        120, gt=0, description="Expected seconds of queries that are spent on it after one change."
    )
    probes: Probes = Field(
        cast(Any, "[]"),
        description="Questions to sources whether data changed, a JSON list; see «Freshness».",
    )
    rules: Rules = Field(
        cast(Any, "[]"), description="Lifetime by dataset, database, table or SQL, a JSON list; see «Freshness»."
    )
    query_log: bool = Field(
        True,
        description="Log each query that is sent to a source into `query_performance_log`, its SQL without values.",
    )
    slow_query_ms: float = Field(1000, gt=0, description="Milliseconds from which a query counts as slow.")
    sampling: bool = Field(True, description="Ask cache servers and source databases once a minute how busy they are.")
    refresh_seconds: float = Field(
        60, ge=10, description="Seconds between two refreshes of what the performance dashboards show."
    )
    alert_urls: Addresses = Field(
        cast(Any, ""),
        repr=False,
        description="Who is told of alerts, separated by spaces: e-mail addresses (by Superset's own `SMTP_…`) "
        "and Apprise URLs.",
    )
    alert_seconds: float = Field(60, gt=0, description="Seconds between two evaluations of the alert rules.")
    auto_apply: bool = Field(
        False, description="Let tuning set timeouts and grace of single datasets, one step at a time, within bounds."
    )
    tune_min_timeout: int = Field(60, ge=1, description="Seconds below which tuning sets no timeout.")
    tune_max_timeout: int = Field(86_400, ge=1, description="Seconds above which tuning sets no timeout.")
    tune_max_grace: int = Field(3600, ge=0, description="Seconds above which tuning sets no grace.")
    tune_window_hours: float = Field(
        24, ge=1, description="Hours for which a step is measured; a day has all hours on both sides of it."
    )
    maintenance_cron: Cron = Field(
        "15 3 * * *",
        description="When partitions are created and dropped, by Celery's clock: UTC, unless its `timezone` is set.",
    )

    metadata: RegionSettings
    query_results: RegionSettings
    chart_data: RegionSettings
    filter_state: RegionSettings
    explore_form_data: RegionSettings
    thumbnails: RegionSettings

    def region(self, name: Region | str) -> RegionSettings:
        """The settings of one region.

        Raises:
            SettingsError: there is no region of that name.
        """
        if name not in set(Region):
            raise SettingsError(f"{name!r} is no cache region; use one of {', '.join(Region)}")
        return getattr(self, str(name))  # type: ignore[no-any-return]

    def region_url(self, name: Region | str) -> str:
        """The Redis URL of a region, with its database number filled in where the URL names none.

        Raises:
            SettingsError: neither the region nor the package has a Redis URL.
        """
        region = self.region(name)
        url = region.url or self.redis_url
        if url is None:
            raise SettingsError(f"no Redis for {name}: set {PREFIX}REDIS_URL")
        return url if region.url else with_database(url, region.db)


def with_database(url: str, db: int) -> str:
    """`url` with the database number `db`; a cluster has only one, and a Sentinel URL keeps its service name."""
    parts = urlsplit(url)
    if "+cluster" in parts.scheme:
        return url
    if "+sentinel" in parts.scheme:
        service = parts.path.strip("/").split("/")[0] or "mymaster"
        return urlunsplit(parts._replace(path=f"/{service}/{db}"))
    return urlunsplit(parts._replace(path=f"/{db}"))


@dataclass(frozen=True)
class Knob:
    """One row of the table of settings, as the README prints it."""

    variable: str
    kind: str
    default: str
    help: str


def _kind(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "JSON"
    args = [a for a in get_args(annotation) if a is not type(None)]
    if not args:
        return str(getattr(annotation, "__name__", annotation))
    if all(isinstance(a, str) for a in args):
        return " | ".join(args)
    return _kind(args[0])


def knobs() -> Iterator[Knob]:
    """Every setting in the order of the table; a region's knob once, with `<REGION>` in its name."""
    for name, field in Settings.model_fields.items():
        if field.annotation is not RegionSettings:
            yield Knob(PREFIX + name.upper(), _kind(field.annotation), _shown(field.default), field.description or "")
    for name, field in RegionSettings.model_fields.items():
        values = [_REGION_DEFAULTS[r].get(name, field.default) for r in Region]
        shown = _shown(values[0]) if len(set(values)) == 1 else ", ".join(_shown(v) for v in values)
        yield Knob(f"{PREFIX}<REGION>_{name.upper()}", _kind(field.annotation), shown, field.description or "")


def _shown(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def variables() -> dict[str, tuple[str, ...]]:
    """Every environment variable, with the path of the field that it sets."""
    found: dict[str, tuple[str, ...]] = {}
    for name, field in Settings.model_fields.items():
        if field.annotation is RegionSettings:
            found |= {f"{PREFIX}{name}_{f}".upper(): (name, f) for f in RegionSettings.model_fields}
        else:
            found[f"{PREFIX}{name}".upper()] = (name,)
    return found


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` makes.

    Raises:
        SettingsError: in one line, what is wrong and how to mend it; the value of a URL is never repeated.
    """
    known = variables()
    values: dict[str, Any] = {str(r): dict(_REGION_DEFAULTS[r]) for r in Region}
    for variable, raw in environ.items():
        if not variable.startswith(PREFIX) or raw == "":
            continue
        if variable not in known:
            raise SettingsError(f"{variable} is not a setting{_nearest(variable, known)}")
        *parents, leaf = known[variable]
        (values[parents[0]] if parents else values)[leaf] = raw.strip()
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_first_line(error)) from None
    _check_whole(settings)
    return settings


def _nearest(variable: str, known: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(variable, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; remove it, or see the table of settings in the README"


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    loc, place = first["loc"], ""
    if number := next((index for index, part in enumerate(loc) if isinstance(part, int)), 0):
        # Within a JSON list, which one variable holds whole.
        place = f": {'.'.join(map(str, loc[number + 1 :]))} of number {int(loc[number]) + 1}"
        loc = loc[:number]
    variable = PREFIX + "_".join(map(str, loc)).upper()
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{variable}{place} {message}"


def _check_whole(settings: Settings) -> None:
    """What no field can see alone."""
    for region in (Region.METADATA, Region.QUERY_RESULTS, Region.CHART_DATA, Region.THUMBNAILS):
        if settings.region(region).backend != "redis":
            raise SettingsError(
                f"{PREFIX}{region.upper()}_BACKEND must be redis; "
                "only filter_state and explore_form_data may use metastore"
            )
    if settings.tune_min_timeout > settings.tune_max_timeout:
        raise SettingsError(f"{PREFIX}TUNE_MIN_TIMEOUT is above {PREFIX}TUNE_MAX_TIMEOUT; change one of them")
    if settings.redis_url is None:
        return
    _check_broker(settings)
    _check_disjoint(settings)


def _check_broker(settings: Settings) -> None:
    if settings.broker_url is None and "+" in urlsplit(settings.redis_url or "").scheme:
        raise SettingsError(
            f"{PREFIX}BROKER_URL is needed: Celery's broker cannot be derived from a Sentinel or Cluster URL"
        )


def _check_disjoint(settings: Settings) -> None:
    """Two regions in one database must not hold, or clear, each other's keys."""
    seen: dict[str, list[tuple[str, Region]]] = {}
    for region in Region:
        if settings.region(region).backend != "redis":
            continue
        place, prefix = _place(settings.region_url(region)), settings.region(region).prefix
        for other_prefix, other in seen.setdefault(place, []):
            if prefix.startswith(other_prefix) or other_prefix.startswith(prefix):
                raise SettingsError(
                    f"{other} and {region} would share keys ({other_prefix!r} and {prefix!r} in one database); "
                    f"give one another {PREFIX}{region.upper()}_PREFIX or {PREFIX}{region.upper()}_DB"
                )
        seen[place].append((prefix, region))


def _place(url: str) -> str:
    """Server and database of a URL, without credentials and options."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].lower()
    return f"{hosts}{parts.path.rstrip('/') or '/0'}"


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: see `load`.
    """
    return load(os.environ)


def stop(error: SettingsError) -> NoReturn:
    """End the process with the one line that names the fix.

    Status 3 is what gunicorn's arbiter takes for «the application cannot boot»; with any other it
    would start the worker again for ever.
    """
    print(f"superset_ext: {error}", file=sys.stderr, flush=True)
    raise SystemExit(3)


def markdown() -> str:
    """The README's table of settings."""
    rows = ["| variable | type | default | what it does |", "| --- | --- | --- | --- |"]
    rows += [f"| `{k.variable}` | {_cell(k.kind)} | {_cell(k.default)} | {k.help} |" for k in knobs()]
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(argv: list[str]) -> int:
    """`python -m superset_ext.settings [check|table]`: check the environment, or print the table."""
    if argv == ["table"]:
        print(markdown())
        return 0
    try:
        load(os.environ)
    except SettingsError as error:
        print(f"superset_ext: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Samples of real servers: each number is the one that the server says, and who does not answer costs one row."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy.engine import make_url

from superset_ext.cache.region import RegionCache
from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.valkey import Valkey
from superset_ext.events import Outcome
from superset_ext.monitor.log.recorder import Recorder
from superset_ext.monitor.samples.regions import sample_regions
from superset_ext.settings import Region, Settings, load
from testing import superset_app
from testing.regions import make_region

ROWS = "SELECT * FROM cache_sample WHERE at = (SELECT max(at) FROM cache_sample)"
Sample = Callable[..., dict[str, dict[str, Any]]]


def settings_of(**knobs: Any) -> Settings:
    environ = {"BROKER_URL": "memory://"} | {name: str(value) for name, value in knobs.items()}
    return load({f"SUPERSET_EXT_{name.upper()}": value for name, value in environ.items()})


@pytest.fixture
def sample(database: LogDatabase) -> Sample:
    """Takes a sample of regions, and returns its rows by region."""

    def take(caches: dict[str, RegionCache], **knobs: Any) -> dict[str, dict[str, Any]]:
        written = sample_regions(caches, database, settings_of(**knobs))
        rows = {row["region"]: row for row in database.rows(ROWS)}
        assert written == len(rows)
        return rows

    return take


@pytest.fixture
def server(fresh_valkey: Callable[..., Valkey]) -> Iterator[Valkey]:
    yield fresh_valkey()


def regions_on(url: str, *names: Region, **knobs: Any) -> dict[str, RegionCache]:
    return {str(name): make_region(url, name, **knobs) for name in names}


def test_a_region_alone_has_what_its_server_says(server: Valkey, sample: Sample) -> None:
    """Intent: memory, limit, entries, connections and fragmentation are the server's, and nothing is an estimate."""
    caches = regions_on(server.url, Region.CHART_DATA)
    caches["chart_data"].stamp(["table:1:public.orders", "any"])  # which are no entries
    for number in range(5):
        assert caches["chart_data"].set(f"key{number}", {"df": "x" * 1000}, 60)
    client = redis.Redis.from_url(server.url)
    client.config_set("maxmemory", 64 * 1024**2)
    [row] = sample(caches, redis_url=server.url).values()
    info = client.info()
    assert row["server"] == server.url.removeprefix("redis://")
    assert (row["shared"], row["entries"], row["evictions"]) == (False, 5, 0)
    assert row["maxmemory"] == 64 * 1024**2
    assert row["server_memory"] == row["memory_estimated"] == pytest.approx(info["used_memory"], rel=0.2)
    assert row["connections"] >= 1
    assert row["fragmentation"] == pytest.approx(info["used_memory_rss"] / info["used_memory"], rel=0.2)


def test_regions_that_share_a_server_share_its_memory_by_what_they_hold(
    server: Valkey, sample: Sample, database: LogDatabase
) -> None:
    """Intent: the estimate adds up to the server's memory, and goes by entries times their size in the log."""
    caches = regions_on(server.url, Region.CHART_DATA, Region.THUMBNAILS, Region.METADATA)
    for number in range(6):
        caches["chart_data"].set(f"key{number}", number, 60)
        caches["thumbnails"].set(f"key{number}", number, 60)
    hour = "INSERT INTO superset_ext.cache_hourly (hour, cache_type, sets, bytes_written) VALUES"
    with database.transaction() as cursor:
        cursor.execute(f"{hour} (date_trunc('hour', now()), 'chart_data', 10, 3000)")
        cursor.execute(f"{hour} (date_trunc('hour', now()), 'thumbnails', 10, 1000)")
    rows = sample(caches, redis_url=server.url)
    assert all(row["shared"] for row in rows.values())
    assert [rows[name]["entries"] for name in ("chart_data", "thumbnails", "metadata")] == [6, 6, 0]
    chart, thumbnails, metadata = (rows[name]["memory_estimated"] for name in ("chart_data", "thumbnails", "metadata"))
    assert chart == pytest.approx(3 * thumbnails, rel=0.01)
    assert metadata == 0
    assert chart + thumbnails == pytest.approx(rows["chart_data"]["server_memory"], rel=0.02)


def test_regions_in_one_database_are_told_apart_without_a_scan(server: Valkey, sample: Sample) -> None:
    """Intent: two regions in one database share its keys by what each remembers; what is gone counts for nobody."""
    knobs = {"redis_url": server.url, "thumbnails_db": 3}
    caches = regions_on(server.url, Region.CHART_DATA, Region.THUMBNAILS, thumbnails_db=3)
    for number in range(8):
        caches["chart_data"].set(f"key{number}", number, 60)
    for number in range(2):
        caches["thumbnails"].set(f"key{number}", number, 60)
    caches["thumbnails"].delete("key1")
    rows = sample(caches, **knobs)
    assert (rows["chart_data"]["entries"], rows["thumbnails"]["entries"]) == (8, 1)


def test_without_a_memory_of_keys_a_shared_database_has_no_count(server: Valkey, sample: Sample) -> None:
    """Intent: what is not known is not shown as a number."""
    knobs = {"thumbnails_db": 3, "key_memory": 0}
    caches = regions_on(server.url, Region.CHART_DATA, Region.THUMBNAILS, **knobs)
    caches["chart_data"].set("key", 1, 60)
    rows = sample(caches, redis_url=server.url, **knobs)
    assert [row["entries"] for row in rows.values()] == [None, None]
    assert [row["memory_estimated"] for row in rows.values()] == [None, None]


def test_an_eviction_is_in_one_row_once(server: Valkey, sample: Sample, database: LogDatabase) -> None:
    """Intent: the sum over all rows is what the server evicted since the first sample, however many regions share it;
    what the recorder logs of the same evictions is not touched."""
    caches = regions_on(server.url, Region.CHART_DATA, Region.THUMBNAILS)
    client = redis.Redis.from_url(server.url)
    knobs = {"redis_url": server.url}
    assert sum(row["evictions"] for row in sample(caches, **knobs).values()) == 0
    client.config_set("maxmemory-policy", "allkeys-lru")
    for number in range(200):
        client.set(f"filler{number}", "x" * 1000)
    client.config_set("maxmemory", client.info()["used_memory"] - 50_000)
    client.set("one more", "x")
    evicted = client.info()["evicted_keys"]
    assert evicted > 0
    rows = sample(caches, **knobs)
    client.config_set("maxmemory", 0)
    assert sorted(row["evictions"] for row in rows.values())[0] == 0
    assert sum(row["evictions"] for row in rows.values()) == pytest.approx(evicted, abs=20)
    sample(caches, **knobs)
    [total] = database.rows("SELECT sum(evictions)::int AS n FROM cache_sample")
    assert total["n"] == client.info()["evicted_keys"]
    counters = database.rows("SELECT server FROM cache_server_counter")
    assert [row["server"].split()[0] for row in counters] == ["cache_sample"]


def test_times_of_hits_are_those_of_the_last_minute(server: Valkey, sample: Sample, database: LogDatabase) -> None:
    """Intent: the percentiles are of this region's hits of the last minute, of all processes, and of nothing older."""
    recorders = [Recorder(database, load({"SUPERSET_EXT_RECORDER_FLUSH_SECONDS": "3600"})) for _ in range(2)]
    for recorder, times in zip(recorders, (range(1, 51), range(51, 101)), strict=True):
        for ms in times:
            recorder._record("", Outcome("chart_data", None, float(ms)))
        recorder.flush()
        recorder.finish()
    recorders[0]._record("", Outcome("metadata", None, 9_000.0))
    recorders[0].flush()
    recorders[0].finish()
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE superset_ext.cache_performance_log SET created_at = created_at - interval '61 seconds'"
            " WHERE cache_type = 'metadata'"
        )
    rows = sample(regions_on(server.url, Region.CHART_DATA, Region.METADATA), redis_url=server.url)
    quantiles = [rows["chart_data"][name] for name in ("hit_p50", "hit_p95", "hit_p99")]
    assert quantiles == pytest.approx([50, 95, 99], rel=0.06)
    assert rows["metadata"]["hit_p50"] is None


def test_a_server_that_is_away_costs_its_own_row(
    server: Valkey, fresh_valkey: Callable[..., Valkey], sample: Sample
) -> None:
    """Intent: one region's Redis being down leaves the other regions' minute as it is."""
    other = fresh_valkey()
    knobs = {"redis_url": server.url, "thumbnails_url": f"{other.url}/0"}
    caches = {
        "chart_data": make_region(server.url),
        "thumbnails": make_region(server.url, Region.THUMBNAILS, thumbnails_url=knobs["thumbnails_url"]),
    }
    rows = sample(caches, **knobs)
    assert [row["shared"] for row in rows.values()] == [False, False]
    other.stop()
    assert list(sample(caches, **knobs)) == ["chart_data"]


SOURCES = """
import threading, time
from superset_ext.core.log_database import LogDatabase
from superset_ext.monitor.samples import activity, databases
from superset_ext.settings import load

log, settings = LogDatabase(os.environ["LOG"]), load({})

def added(name, uri):
    other = Database(database_name=name)
    other.set_sqlalchemy_uri(uri)
    db.session.add(other)
    db.session.commit()
    return other.id

ids = {
    "source": source.id,
    "away": added("away", "postgresql+psycopg2://nobody:hush@127.0.0.1:1/none"),
    "hangs": added("hangs", os.environ["HANGS"]),
    "lite": added("lite", "sqlite://"),
}
import psycopg2
others = [psycopg2.connect(os.environ["PLAIN"]) for _ in range(3)]
others[0].cursor().execute("SELECT 1")  # idle in its transaction
sleeper = threading.Thread(target=lambda: others[1].cursor().execute("SELECT pg_sleep(600)"), daemon=True)
sleeper.start()
others[2].autocommit = True
watching = others[2].cursor()
while True:
    watching.execute("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'")
    if watching.fetchone():
        break
    time.sleep(0.05)
with log.transaction() as cursor:
    for age, ms in ((15, 10_000), (30, 20_000), (75, 60_000), (200, 1_000)):
        cursor.execute(
            "INSERT INTO superset_ext.query_performance_log (created_at, host, pid, source, database_id, duration_ms)"
            " VALUES (now() - make_interval(secs => %s), 'h', 1, 'chart', %s, %s)", (age, ids["lite"], ms),
        )
# The one that hangs is waited for so long; SOURCE says itself that it may be later, and its statements may be too.
activity.CONNECT_SECONDS, activity.STATEMENT_SECONDS = 1, 60.0
activity.activities.__defaults__ = (120.0,)
started = time.monotonic()
taken = databases.sample_databases(app, log, settings)
took = time.monotonic() - started
say({"ids": ids, "taken": taken, "took": took, "rows": log.rows("SELECT * FROM database_sample")})
os._exit(0)
"""


def test_each_source_says_how_busy_it_is(database: LogDatabase, log_url: str, tmp_path: Path) -> None:
    """Intent: PostgreSQL is asked for its connections and running statements; of another source the log says the mean;
    one that is away, and one that takes a connection and never says a word, cost their own row and not all the time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        hangs = f"postgresql+psycopg2://nobody:hush@127.0.0.1:{mute.getsockname()[1]}/none"
        plain = make_url(log_url).set(drivername="postgresql").render_as_string(hide_password=False)
        late = make_url(log_url).update_query_dict({"connect_timeout": "60"})
        output = superset_app.run(
            SOURCES, log_url, late.render_as_string(hide_password=False), tmp_path, LOG=log_url, HANGS=hangs,
            PLAIN=plain,
        )  # fmt: skip
    rows = {row["database_id"]: row for row in output["rows"]}
    assert output["taken"] == len(rows) == 2
    assert output["took"] < 60
    source, lite = rows[output["ids"]["source"]], rows[output["ids"]["lite"]]
    assert source["running"] == 1
    assert source["connections"] >= 3
    # The minute ended 10 s ago: the first two are whole in it, and the others were over before it began.
    assert lite["connections"] is None
    assert lite["running"] == pytest.approx((10 + 20) / 60, abs=0.02)

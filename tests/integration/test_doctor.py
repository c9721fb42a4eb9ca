"""`superset perf doctor`: nothing on a healthy stack, and each fault by name, caused one at a time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.ports import free_port
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.freshness.tasks import TICK
from superset_ext.freshness.watch.watched import LISTENER
from superset_ext.monitor.dashboards.bundle import assets
from superset_ext.monitor.rollup.views import apply_views
from superset_ext.warm.service import QUEUE
from testing.processes import those
from testing.programs import program
from testing.serving import Client, worker
from testing.stack import RunningStack
from testing.superset_tables import make_tables
from testing.warming import rows, until

BOTH = f"celery,{QUEUE}"
Found = list[tuple[str, str, str]]  # level, check, and what was said with its fix


def doctor(stack: RunningStack, **env: str) -> tuple[int, Found]:
    """What it finds, told by JSON; and its exit status."""
    done = subprocess.run(
        [program("superset"), "perf", "doctor", "--json"], env={**os.environ, **stack.env, **env},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    start = re.search(r"^\[$", done.stdout, re.MULTILINE)
    assert start, done.stdout[-500:] + done.stderr[-2000:]
    findings = json.loads(done.stdout[start.start() :])
    return done.returncode, [
        (finding["level"], finding["check"], f"{finding['message']}; {finding['fix']}") for finding in findings
    ]


def wrong(findings: Found) -> Found:
    return [finding for finding in findings if finding[0] != "fine"]


def assert_only(report: tuple[int, Found], level: str, check: str, pattern: str) -> None:
    """Just this fault is found, however many lines it has, and an error is an exit status."""
    status, lines = report
    assert {(finding[0], finding[1]) for finding in wrong(lines)} == {(level, check)}, wrong(lines)
    assert any(re.search(pattern, finding[2]) for finding in wrong(lines)), wrong(lines)
    assert status == (1 if level == "error" else 0)


def assert_all(report: tuple[int, Found], faults: dict[str, tuple[str, str]]) -> None:
    """Just these faults are found, each by its words and with its level and its check."""
    status, lines = report
    assert {finding[:2] for finding in wrong(lines)} == set(faults.values()), wrong(lines)
    for pattern, (level, check) in faults.items():
        assert any(f[:2] == (level, check) and re.search(pattern, f[2]) for f in wrong(lines)), (pattern, wrong(lines))
    assert status == ("error" in {level for level, _ in faults.values()})


def test_a_healthy_stack(superset_stack: RunningStack) -> None:
    """Intent: what works is said to, line by line, and nothing else; as people read it too."""
    until(lambda: rows(superset_stack, "SELECT 1 FROM superset_ext.heartbeat"))
    status, findings = doctor(superset_stack)
    assert (status, wrong(findings)) == (0, [])
    checks = {check for _, check, _ in findings}
    assert checks >= {"superset", "caches", "servers", "log", "clocks", "workers", "beat", "views", "reader", "alerts"}
    done = subprocess.run(
        [program("superset"), "perf", "doctor"],
        env=superset_stack.env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("fine")]
    assert len(lines) == len(findings) and done.returncode == 0


@pytest.fixture
def closed() -> str:
    """A Redis that is not there."""
    return f"redis://127.0.0.1:{free_port()}/3"


@pytest.mark.thorough
def test_a_region_without_a_server(superset_stack: RunningStack, closed: str) -> None:
    """Intent: a server that is away is named by its region, its address and its setting."""
    report = doctor(superset_stack, SUPERSET_EXT_CHART_DATA_URL=closed)
    assert_only(report, "error", "servers", r"chart_data does not reach redis://127\.0\.0\.1:\d+: .*; check SUPERSET")


@pytest.mark.thorough
def test_a_clock_that_is_fast(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: it is named who does not agree. Nobody may set this machine's clock, so the doctor's own is."""
    with configured(tmp_path, "import time; TRUE = time.time; time.time = lambda: TRUE() + 30") as env:
        report = doctor(superset_stack, **env)
    behind = r"is ([1-9]|[12]\d|30) s behind this machine's"  # what the asking took is nobody's fault
    assert_only(report, "warning", "clocks", f"the clock of the server of chart_data {behind}")
    text = " ".join(finding[2] for finding in wrong(report[1]))
    assert "the clock of the log database is" in text and "the clock of celery@" in text


@contextmanager
def configured(folder: Path, text: str) -> Iterator[dict[str, str]]:
    """The drop-in config with some lines after it, as somebody might add them."""
    path = folder / "superset_config_with_a_fault.py"
    path.write_text(f"from superset_ext.config import *\n{text}")
    yield {"SUPERSET_CONFIG_PATH": str(path)}


@pytest.mark.thorough
def test_a_config(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: a cache that is off, elsewhere, or shares the keys of another one, is told by its name; so is a package
    that is missing, in one line; so are rules that name what is not there, or that nothing has ever matched, and a
    probe that was never asked."""
    lines = """
import os, sys
FILTER_STATE_CACHE_CONFIG = {'CACHE_TYPE': 'NullCache'}
THUMBNAIL_CACHE_CONFIG = {'CACHE_TYPE': 'SimpleCache'}
OWN = {'CACHE_TYPE': 'RedisCache', 'CACHE_KEY_PREFIX': 'chart_',
       'CACHE_REDIS_URL': os.environ['SUPERSET_EXT_REDIS_URL'] + '/3'}
sys.modules['apprise'] = None
"""
    rules = [
        {"name": "gone", "dataset": "public.no_such_dataset", "timeout": 60},
        {"name": "idle", "table": "public.no_such_table", "timeout": 60},
    ]
    own = {
        "SUPERSET_EXT_RULES": json.dumps(rules),
        "SUPERSET_EXT_PROBES": json.dumps([{"database": "examples", "table": "public.birth_names"}]),
        "SUPERSET_EXT_ALERT_URLS": "json://hooks.example.com/x",
    }
    with configured(tmp_path, lines) as env:
        report = doctor(superset_stack, **env, **own)
    faults = {
        "FILTER_STATE_CACHE_CONFIG is Null: nothing is cached; end superset_config.py with": ("error", "caches"),
        "THUMBNAIL_CACHE_CONFIG is SimpleCache, which is neither counted nor invalidated": ("warning", "caches"),
        "OWN and chart_data share a Redis database and the prefix 'chart_'": ("error", "prefixes"),
        "the rule gone matches nothing: there is no dataset 'public.no_such_dataset'": ("error", "rules"),
        r"the rule idle matches none of the \d+ requests that were asked in the last 30 days": ("warning", "rules"),
        "examples: public.birth_names: it was never asked; see that Celery beat": ("warning", "probes"),
        "needs Apprise, which is not installed; run: pip install apprise": ("error", "alerts"),
    }
    assert_all(report, faults)
    assert len([finding for finding in report[1] if finding[1] == "alerts"]) == 1  # and none that says all is well


@pytest.mark.thorough
def test_another_secret(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: the workers have another, and what was encrypted with it cannot be read."""
    with configured(tmp_path, "SECRET_KEY = 'another ' * 8") as env:
        status, findings = doctor(superset_stack, **env)
    assert status == 1 and {finding[:2] for finding in wrong(findings)} == {("error", "workers"), ("error", "reader")}
    text = " ".join(finding[2] for finding in wrong(findings))
    assert "has another SECRET_KEY" in text and "cannot be decrypted; set the SECRET_KEY" in text


@pytest.mark.marathon
def test_no_worker(superset_stack: RunningStack, fresh_valkey: Callable[..., Valkey]) -> None:
    """Intent: a broker at which nobody works is told, within the time that a worker has to answer."""
    report = doctor(superset_stack, SUPERSET_EXT_BROKER_URL=f"{fresh_valkey().url}/0")
    assert_only(report, "error", "workers", r"no Celery worker answers within 10 s; check the broker's URL")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("lines", "away", "queues", "level", "pattern"),
    [
        ("FLASK_APP_MUTATOR = lambda app: None", (), BOTH, "error",
         r"does not run the package; mount the same superset_config\.py and set the same SUPERSET_EXT_"),
        pytest.param(
            "from cachelib.file import FileSystemCache; RESULTS_BACKEND = FileSystemCache('{folder}')", (), BOTH,
            "error",
            "keeps SQL Lab's results in FileSystemCache, where the web server does not look; give both the same",
            marks=pytest.mark.marathon,
        ),
        pytest.param(
            "", ("SUPERSET_EXT_QUERY_RESULTS_URL",), BOTH, "error",
            "does not reach the server of query_results, so asynchronous queries fail; check that URL",
            marks=pytest.mark.marathon,
        ),
        pytest.param(
            "", (), "celery", "warning",
            f"nobody consumes {QUEUE}, so nothing is warmed; add {QUEUE} to a worker's -Q",
            marks=pytest.mark.marathon,
        ),
    ],
)  # fmt: skip
def test_a_worker(
    superset_stack: RunningStack, fresh_valkey: Callable[..., Valkey], closed: str, tmp_path: Path,
    lines: str, away: tuple[str, ...], queues: str, level: str, pattern: str,
) -> None:  # fmt: skip
    """Intent: what is wrong with a worker is told, though nothing is with the process that asks; it has a broker of
    its own here, so as not to take the stack's tasks."""
    own = {"SUPERSET_EXT_BROKER_URL": f"{fresh_valkey().url}/0"}
    with configured(tmp_path, lines.format(folder=tmp_path)) as env:
        config = Path(env["SUPERSET_CONFIG_PATH"])
        with worker(config, superset_stack.env | own | dict.fromkeys(away, closed), tmp_path / "worker.log", queues):
            assert_only(doctor(superset_stack, **own), level, "workers", pattern)


@pytest.mark.marathon
def test_a_queue_of_the_config_s_own(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: where the config routes warming elsewhere, a worker of that queue is missed, and not one of the
    package's name."""
    lines = "from superset_ext.configuration.shapes import added_to\n"
    lines += "routes = {'superset_ext.warm': {'queue': 'slow'}}\n"
    lines += "CELERY_CONFIG = added_to(CELERY_CONFIG, lambda own: {'task_routes': routes})"
    with configured(tmp_path, lines) as env:
        report = doctor(superset_stack, **env)
    assert_only(report, "warning", "workers", "nobody consumes slow, so nothing is warmed; add slow to a worker's -Q")


@pytest.mark.thorough
def test_the_log(superset_stack: RunningStack, postgres: Postgres) -> None:
    """Intent: tables that are missing, a beat that never ran or has stopped, dashboards that read the log that was
    used before, and a role that may only read."""
    url = postgres.create_database(f"doctor_{uuid.uuid4().hex[:8]}")
    env = {"SUPERSET_EXT_LOG_DATABASE_URL": url, "SUPERSET_EXT_RECORDER": "false"}
    status, findings = doctor(superset_stack, **env)
    assert status == 1 and ("error", "log") in {finding[:2] for finding in findings}
    assert any(
        "not applied yet: 01_schema.sql" in finding[2] and "superset perf upgrade" in finding[2] for finding in findings
    )
    with closing(LogDatabase(url)) as database:
        database.apply_schema()
        apply_views(database)
    status, findings = doctor(superset_stack, **env)
    assert {finding[:2] for finding in wrong(findings)} == {("warning", "log"), ("error", "beat"), ("error", "reader")}
    assert any("Celery beat has never run; run one" in finding[2] for finding in findings)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO superset_ext.heartbeat VALUES (%s, now() - interval '1 hour')", (TICK,))
        role = f"reader_{uuid.uuid4().hex[:8]}"
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA superset_ext TO {role};"
                       f" GRANT SELECT ON ALL TABLES IN SCHEMA superset_ext TO {role}")  # fmt: skip
    status, findings = doctor(superset_stack, **env)
    assert any(re.search(r"nothing of Celery beat has been done for 3[6-9]\d\d s", finding[2]) for finding in findings)
    reading = re.sub(r"//[^@]*@", f"//{role}:x@", url)
    status, findings = doctor(superset_stack, **env | {"SUPERSET_EXT_LOG_DATABASE_URL": reading})
    assert any("the log cannot be written; permission denied" in finding[2] for finding in findings), wrong(findings)


NOTICE = """
INSERT INTO superset_ext.performance_alert_notice (alert_id, event, severity, title, body, done_at, error)
VALUES (-1, 'fired', 'info', 'a trial', '', now(), 'address 1 refused it')
"""


@pytest.mark.thorough
def test_what_is_in_tables(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: a watch whose triggers are not on the source is told by its table, an address that refuses notices with
    its reason, and a dashboard that refreshes itself past the cache by name, unless Superset uses the cache then."""
    client = Client(superset_stack.url, superset_stack.user, superset_stack.password)
    body = {"dashboard_title": "Wall", "json_metadata": json.dumps({"refresh_frequency": 10})}
    board = client.post("/api/v1/dashboard/", json=body).json()["id"]
    number = rows(superset_stack, "SELECT id FROM public.dbs WHERE database_name = 'examples'")[0][0]
    rows(superset_stack, "INSERT INTO superset_ext.cache_watch VALUES (%s, 'public', 'gone')", (number,))
    rows(superset_stack, NOTICE)
    try:
        report = doctor(superset_stack, SUPERSET_EXT_ALERT_URLS="ops@example.com")
    finally:
        rows(superset_stack, "DELETE FROM superset_ext.performance_alert_notice WHERE alert_id = -1")
        rows(superset_stack, "DELETE FROM superset_ext.cache_watch WHERE table_name = 'gone'")
    refreshes = "the dashboard 'Wall' asks the database anew every 10 s .*DASHBOARD_AUTO_REFRESH_MODE = \"fetch\""
    assert_all(report, {
        "examples: public.gone is not watched on the source": ("error", "watches"),
        "1 notices of the last day did not arrive: address 1 refused it": ("error", "alerts"),
        refreshes: ("warning", "dashboards"),
    })  # fmt: skip
    try:
        with configured(tmp_path, "DASHBOARD_AUTO_REFRESH_MODE = 'fetch'") as env:
            assert wrong(doctor(superset_stack, **env)[1]) == []
    finally:
        client.http.delete(f"{client.base}/api/v1/dashboard/{board}")


@pytest.mark.thorough
def test_a_watch_that_nobody_listens_to(superset_stack: RunningStack) -> None:
    """Intent: a listener that hangs, and whose connection the source has ended, is no listener."""

    def watch(*words: str) -> None:
        command = [program("superset"), "perf", "watch", *words, "examples", "public.birth_names"]
        subprocess.run(command, env=superset_stack.env, capture_output=True, timeout=300, check=True)

    def listening() -> list[tuple[int]]:
        beats: list[tuple[int]] = rows(
            superset_stack, "SELECT pid FROM pg_stat_activity WHERE application_name = %s", (LISTENER,)
        )
        return beats

    watch("add")
    try:
        until(listening)
        with frozen(superset_stack, "listen"):
            rows(superset_stack, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                 (LISTENER,))  # fmt: skip
            until(lambda: not listening())
            message = "examples: public.birth_names is watched and nobody listens, so .*; start: superset perf listen"
            assert_only(doctor(superset_stack), "error", "watches", message)
    finally:
        watch("remove")


@contextmanager
def frozen(stack: RunningStack, word: str) -> Iterator[None]:
    """The stack's process of this command, stopped for a while."""
    home = stack.env["SUPERSET_HOME"]
    own = those(
        psutil.process_iter(),
        lambda process: word in process.cmdline() and process.environ().get("SUPERSET_HOME") == home,
    )
    for process in own:
        process.suspend()
    try:
        assert own, f"no process of this stack runs: {word}"
        yield
    finally:
        for process in own:
            process.resume()


@pytest.mark.marathon
def test_a_log_that_cannot_be(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: where the metadata is in SQLite, nothing is logged, and that is said."""
    url = f"sqlite:///{tmp_path}/superset.db"
    make_tables(url)
    with configured(tmp_path, f"SQLALCHEMY_DATABASE_URI = {url!r}") as env:
        status, findings = doctor(superset_stack, **env)
    message = "nothing is logged, since the metadata database is not PostgreSQL; set SUPERSET_EXT_LOG_DATABASE_URL"
    assert status == 1 and any(finding[:2] == ("error", "log") and message in finding[2] for finding in findings), (
        findings
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param("ALTER ROLE {} PASSWORD 'another'", "cannot connect", marks=pytest.mark.marathon),
        ("REVOKE SELECT ON superset_ext.perf_chart FROM {}", "may not read perf_chart"),
    ],
)
def test_a_reader_that_cannot_read(superset_stack: RunningStack, fault: str, message: str) -> None:
    """Intent: what the doctor says mends it."""
    ((role,),) = rows(superset_stack, "SELECT rolname FROM pg_roles WHERE rolname ~ '^superset_ext_reader_'")
    rows(superset_stack, fault.format(role))
    try:
        assert_only(doctor(superset_stack), "error", "reader", f"{message}; run: superset perf dashboards install")
    finally:
        mended = subprocess.run(
            [program("superset"), "perf", "dashboards", "install"],
            env=superset_stack.env,
            capture_output=True,
            timeout=300,
        )
    assert mended.returncode == 0 and wrong(doctor(superset_stack)[1]) == []


@pytest.mark.marathon
def test_dashboards_that_were_never_installed(superset_stack: RunningStack) -> None:
    """Intent: their database, which is known by its identifier, is not there."""
    known, other = next(asset.uuid for asset in assets() if asset.kind == "database"), str(uuid.uuid4())
    swap = "UPDATE public.dbs SET uuid = %s WHERE uuid = %s"
    rows(superset_stack, swap, (other, known))
    try:
        message = "are not installed; run: superset perf dashboards install; or set SUPERSET_EXT_DASHBOARDS=false"
        assert_only(doctor(superset_stack), "warning", "reader", message)
    finally:
        rows(superset_stack, swap, (known, other))


@pytest.mark.thorough
def test_a_version_that_is_not_known(superset_stack: RunningStack, tmp_path: Path) -> None:
    """Intent: a Superset that the package leaves alone is an error, since nothing of it works then."""
    with configured(tmp_path, "from superset_ext.host import seams\nseams.SUPPORTED = ('9.9',)\n") as env:
        assert_only(doctor(superset_stack, **env), "error", "superset", "use a release of the package")

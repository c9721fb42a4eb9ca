"""The table of settings: everything wrong stops the start with one line that names the fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from superset_ext.errors import SettingsError
from superset_ext.settings import Region, Settings, load, variables, with_database
from superset_ext.settings.readme import markdown, rows
from superset_ext.settings.redis_urls import named_database

ROOT = Path(__file__).resolve().parents[2]
REDIS = {"SUPERSET_EXT_REDIS_URL": "redis://cache:6379"}

WRONG = [
    ({"SUPERSET_EXT_REDISURL": "redis://x"}, "did you mean SUPERSET_EXT_REDIS_URL?"),
    ({"SUPERSET_EXT_GRACE": "60"}, "did you mean SUPERSET_EXT_GRACE_SECONDS or SUPERSET_EXT_TUNE_MAX_GRACE?"),
    ({"SUPERSET_EXT_REFRESH": "60"}, "did you mean SUPERSET_EXT_REFRESH_SECONDS?"),
    ({"SUPERSET_EXT_CHART_TIMEOUT": "60"}, "did you mean SUPERSET_EXT_CHART_DATA_TIMEOUT?"),
    ({"SUPERSET_EXT_GRANT": "triggers"}, "did you mean SUPERSET_EXT_GRANTS?"),
    ({"SUPERSET_EXT_NOTHING_LIKE_ANY_OF_THEM": "1"}, "is not a setting"),
    ({"SUPERSET_EXT_KEY_MEMORY": "many"}, "SUPERSET_EXT_KEY_MEMORY should be a whole number"),
    (
        {"SUPERSET_EXT_CHART_DATA_POOL_SIZE": "0"},
        "SUPERSET_EXT_CHART_DATA_POOL_SIZE should be greater than or equal to 1",
    ),
    ({"SUPERSET_EXT_MAINTENANCE_CRON": "at noon"}, "write five fields"),
    ({"SUPERSET_EXT_MAINTENANCE_CRON": "61 * * * *"}, "is not a cron line"),
    ({"SUPERSET_EXT_REDIS_URL": "http://cache:6379"}, "use one of redis, rediss"),
    ({"SUPERSET_EXT_REDIS_URL": "redis:///0"}, "names no host"),
    ({"SUPERSET_EXT_LOG_DATABASE_URL": "mysql://db/log"}, "must be a PostgreSQL URL"),
    ({"SUPERSET_EXT_RECORDER": "maybe"}, "SUPERSET_EXT_RECORDER should be true or false"),
    ({"SUPERSET_EXT_RULES": "5"}, "SUPERSET_EXT_RULES should be a JSON list"),
    ({"SUPERSET_EXT_RULES": '[{"name": "a"}]'}, "SUPERSET_EXT_RULES: number 1 matches everything"),
    ({"SUPERSET_EXT_RULES": '[{"table": "t"}]'}, "SUPERSET_EXT_RULES: name of number 1 is missing"),
    ({"SUPERSET_EXT_METADATA_BACKEND": "metastore"}, "SUPERSET_EXT_METADATA_BACKEND must be auto"),
    ({"SUPERSET_EXT_REDIS_URL": "redis+cluster://a:1,b:2/0"}, "SUPERSET_EXT_BROKER_URL is needed"),
    (REDIS | {"SUPERSET_EXT_CHART_DATA_DB": "1", "SUPERSET_EXT_CHART_DATA_PREFIX": "superset_"}, "would share keys"),
    (REDIS | {"SUPERSET_EXT_CHART_DATA_DB": "1", "SUPERSET_EXT_CHART_DATA_PREFIX": "superset_c_"}, "would share keys"),
    (REDIS | {"SUPERSET_EXT_CHART_DATA_URL": "redis://CACHE:6379/1", "SUPERSET_EXT_CHART_DATA_PREFIX": "s"}, "share"),
]


@pytest.mark.parametrize(("environ", "text"), WRONG)
def test_wrong_setting_is_one_line_that_names_the_fix(environ: dict[str, str], text: str) -> None:
    """Intent: unknown names, wrong types, bad cron lines, bad schemes and shared regions all stop the start."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


SECRET_URLS = [
    "http://:hunter2@cache:6379", "hunter2:6379", "redis://:hunter2℀@cache:6379", "redis://[:hunter2@cache:6379",
]  # fmt: skip


@pytest.mark.parametrize("url", SECRET_URLS)
def test_password_is_never_in_the_message(url: str) -> None:
    """Intent: a line that lands in a log must not carry a secret, also where urllib's own message repeats it."""
    with pytest.raises(SettingsError) as caught:
        load({"SUPERSET_EXT_REDIS_URL": url})
    assert "hunter2" not in str(caught.value)


ODD = ["hun/ter2", "hun#ter2", "hun?ter2", "hun@ter2", "hunter2:", "#hunter2", "/hunter2", "hunter2%", "a@hunter2/b"]
URLS = {
    "REDIS_URL": "redis://:{0}@cache:6379", "CHART_DATA_URL": "rediss://u:{0}@cache:6379/3", "BROKER_URL":
    "redis://:{0}@broker:6379/0", "LOG_DATABASE_URL": "postgresql://u:{0}@db:5432/log",
    "DATABASE_URL": "mysql://u:{0}@db/superset", "READER_URL": "postgresql+psycopg2://u:{0}@db/log",
}  # fmt: skip
CASES = [(name, url.replace("{0}", password)) for name, url in URLS.items() for password in ODD]
CASES += [("REDIS_URL", "redis://:hunter2"), ("REDIS_URL", "redis://u:hunter2"), ("BROKER_URL", "amqp://u:hunter2")]


@pytest.mark.parametrize(("name", "url"), CASES)
def test_a_password_that_is_not_percent_encoded_is_one_line_without_it(name: str, url: str) -> None:
    """Intent: it is refused in one line that has no part of it, or it is read as it was meant."""
    environ = {"SUPERSET_EXT_REDIS_URL": "redis://cache", f"SUPERSET_EXT_{name}": url}
    try:
        settings = load(environ)
    except SettingsError as error:
        assert str(error).startswith(f"SUPERSET_EXT_{name} ")
        assert "%" in str(error)
        assert not any(part in str(error) for part in ("hunter", "ter2", "hun"))
        assert "\n" not in str(error)
        return
    text = str(getattr(settings, name.lower(), None) or settings.chart_data.url)
    read: Any = urlsplit(text) if "redis" in text else make_url(text)
    assert unquote(str(read.password)) == unquote(url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    assert (read.hostname if "redis" in text else read.host) in ("cache", "broker", "db")


DATABASES = [
    ("redis://h:6379", [1, 2, 3, 4, 5, 6], 0),
    ("redis://h:6379/0", [0] * 6, 0),
    ("rediss://:p@h/7?ssl_cert_reqs=none", [7] * 6, 7),
    ("redis://h?db=2", [2] * 6, 2),
    ("redis+sentinel://a,b/main", [1, 2, 3, 4, 5, 6], None),
    ("redis+sentinel://a,b/main/4", [4] * 6, None),
]


@pytest.mark.parametrize(("url", "regions", "broker"), DATABASES)
def test_a_database_that_the_url_names_is_everybody_s(url: str, regions: list[int], broker: int | None) -> None:
    """Intent: a managed server may have one database; where none is named, each region has its own."""
    own = {} if broker is not None else {"SUPERSET_EXT_BROKER_URL": "redis://b/9"}
    settings = load({"SUPERSET_EXT_REDIS_URL": url, **own})
    assert [named_database(settings.region_url(region)) for region in Region] == regions
    assert named_database(settings.broker()) == (9 if broker is None else broker)
    chosen = load({"SUPERSET_EXT_REDIS_URL": url, **own, "SUPERSET_EXT_CHART_DATA_DB": "5"})
    assert named_database(chosen.region_url(Region.CHART_DATA)) == 5


def test_password_is_not_in_the_settings_repr() -> None:
    """Intent: settings that end up in a traceback or a log say no password."""
    names = ("REDIS_URL", "CHART_DATA_URL", "BROKER_URL")
    urls = {f"SUPERSET_EXT_{name}": f"redis://:hunter2@{name.lower()}/0" for name in names}
    databases = {f"SUPERSET_EXT_{n}": "postgresql://u:hunter2@h/d" for n in ("DATABASE_URL", "LOG_DATABASE_URL")}
    assert "hunter2" not in repr(load(urls | databases))


def test_every_setting_has_help_and_a_variable_that_sets_it() -> None:
    """Intent: no setting without documentation, and none that the environment cannot reach."""
    assert all(len(row.help) > 15 for row in rows())
    for variable, path in variables().items():
        assert variable.startswith("SUPERSET_EXT_")
        assert len(path) in (1, 2)


def test_every_setting_is_read() -> None:
    """Intent: no setting that nothing reads."""
    files = [p for p in (ROOT / "superset_ext").rglob("*.py") if "embedded" not in p.parts]
    code = "\n".join(p.read_text() for p in files)
    for name in {path[-1] for path in variables().values()}:
        assert f".{name}" in code, f"nothing reads {name}"


def test_the_table_of_settings_is_the_generated_one() -> None:
    """Intent: what the README, or its page of settings, says of a setting is never out of date."""
    assert any(markdown() in page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_defaults_are_those_of_the_design() -> None:
    """Intent: six regions with their own database, prefix, timeout and pool."""
    settings = load(REDIS)
    assert [settings.region(r).timeout for r in Region] == [300, 600, 900, 7_776_000, 604_800, 604_800]
    assert [settings.region(r).pool_size for r in Region] == [50, 20, 30, 10, 10, 5]
    assert len({settings.region_url(r) for r in Region}) == len(Region)


def test_without_a_redis_the_settings_are_fine() -> None:
    """Intent: an environment without our variables runs Superset as stock."""
    assert load({"PATH": "/bin"}).redis_url is None


@given(st.dictionaries(st.sampled_from(sorted(variables())), st.text(max_size=20), max_size=4))
def test_any_environment_is_accepted_or_refused_in_one_line(environ: dict[str, str]) -> None:
    """Intent: no input makes anything but a Settings or a one-line SettingsError."""
    try:
        assert isinstance(load(environ), Settings)
    except SettingsError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:p@h:1", "redis://:p@h:1/4"),
        ("rediss://h:1/0?ssl_cert_reqs=none", "rediss://h:1/4?ssl_cert_reqs=none"),
        ("redis+sentinel://a:1,b:2/main", "redis+sentinel://a:1,b:2/main/4"),
        ("redis+cluster://a:1,b:2", "redis+cluster://a:1,b:2"),
    ],
)
def test_database_number_goes_where_the_scheme_wants_it(url: str, expected: str) -> None:
    """Intent: each kind of Redis names its database in its own way, and a cluster has none."""
    assert with_database(url, 4) == expected


def test_bad_setting_stops_a_starting_superset_with_one_line(tmp_path: Path) -> None:
    """Intent: the config import ends the process with status 3, on which gunicorn gives up, and one line."""
    done = subprocess.run(
        [sys.executable, "-c", "import superset_config"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "SUPERSET_EXT_REDIS_URL": "ftp://x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("superset_ext: SUPERSET_EXT_REDIS_URL")


@pytest.mark.parametrize(("value", "status", "text"), [("60", 0, "is fine; it sets 2 of"), ("soon", 1, "a number")])
def test_the_check_of_an_environment_says_what_it_found(value: str, status: int, text: str) -> None:
    """Intent: who checks an environment by hand sees that it was checked."""
    done = subprocess.run(
        [sys.executable, "-m", "superset_ext.settings"], env=REDIS | {"SUPERSET_EXT_REFRESH_SECONDS": value},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status
    assert text in (done.stderr if status else done.stdout)

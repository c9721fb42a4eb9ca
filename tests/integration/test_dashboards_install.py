"""The built-in dashboards: what the bundle says, how it gets into Superset, who may read it, and through what role."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from superset_ext.core.log_database import LogDatabase
from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.errors import SupersetExtError
from superset_ext.monitor.dashboards import reader
from superset_ext.monitor.dashboards.bundle import ASSETS, Asset, assets
from superset_ext.monitor.rollup.views import apply_views
from testing.programs import program

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.timeout(600), pytest.mark.thorough]
EVERYTHING = sorted(asset.name for asset in assets())


def of(kind: str) -> list[Asset]:
    return [asset for asset in assets() if asset.kind == kind]


# What the files say.


def test_every_chart_says_what_it_is() -> None:
    """Intent: a title and a description on every chart, and each is on one dashboard, where its title is the same."""
    placed: dict[str, str] = {}
    for dashboard in of("dashboard"):
        assert dashboard.config["description"]
        for item in dashboard.config["position"].values():
            if isinstance(item, dict) and item["type"] == "CHART":
                assert item["meta"]["uuid"] not in placed
                placed[item["meta"]["uuid"]] = item["meta"]["sliceName"]
    assert placed == {chart.uuid: chart.name for chart in of("chart")}
    assert all(len(chart.config["description"]) > 20 for chart in of("chart"))


def test_datasets_are_never_cached_and_not_open_to_sql_lab() -> None:
    """Intent: the numbers are those of the last refresh, and the log is not a playground."""
    assert {dataset.config["cache_timeout"] for dataset in of("dataset")} == {-1}
    (database,) = of("database")
    assert database.config["expose_in_sqllab"] is False
    assert database.config["allow_dml"] is False


def test_charts_ask_for_what_their_dataset_has() -> None:
    """Intent: a metric or column that was renamed shows here and not as a chart in error."""
    datasets = {dataset.uuid: dataset.config for dataset in of("dataset")}
    for chart in of("chart"):
        dataset = datasets[chart.config["dataset_uuid"]]
        known = {metric["metric_name"] for metric in dataset["metrics"]} | {
            c["column_name"] for c in dataset["columns"]
        }
        assert _asked(chart.config["params"]) <= known, chart.name


def _asked(params: dict[str, Any]) -> set[str]:
    names = [params.get(key) for key in ("metric", "x_axis", "timeseries_limit_metric")]
    for key in ("metrics", "groupby", "all_columns"):
        names += params.get(key) or []
    return {name for name in [*names, *(condition["subject"] for condition in params["adhoc_filters"])] if name}


def test_every_filter_names_a_column_that_its_charts_have() -> None:
    """Intent: a filter that a chart cannot apply is out of that chart's scope, not silently ignored."""
    datasets = {d.uuid: {c["column_name"] for c in d.config["columns"]} for d in of("dataset")}
    charts = {chart.uuid: datasets[chart.config["dataset_uuid"]] for chart in of("chart")}
    for dashboard in of("dashboard"):
        ids = {
            item["meta"]["chartId"]: item["meta"]["uuid"]
            for item in dashboard.config["position"].values()
            if isinstance(item, dict) and item["type"] == "CHART"
        }
        for native_filter in dashboard.config["metadata"]["native_filter_configuration"]:
            column = native_filter["targets"][0].get("column", {}).get("name")
            within = [uuid for number, uuid in ids.items() if number not in native_filter["scope"]["excluded"]]
            assert within
            assert column is None or all(column in charts[uuid] for uuid in within), native_filter["name"]


# What becomes of them in Superset: one story in a process of its own, since Superset's app is one a process.

STORY = """
import json, sys, threading
from dataclasses import asdict, replace
from unittest import mock
from superset.app import create_app
app = create_app()
from flask_appbuilder import Model
from superset_ext.package import EXTENSION
from superset_ext.monitor.dashboards import bundle
from superset_ext.monitor.dashboards import imported
from superset_ext.monitor.dashboards import installation as dashboards
from superset_ext.monitor.dashboards import reader
from superset_ext.monitor.dashboards import viewers
from superset_ext.monitor.rollup.views import apply_views
package = app.extensions[EXTENSION]
database, said = package.database, {}

def say(name, value):
    said[name] = value

def install(**options):
    return asdict(dashboards.install(app, database, package.settings, **options))

def counts():
    from superset import db
    names = ("ab_role", "ab_view_menu", "ab_permission_view", "dbs", "tables", "slices", "dashboards",
             "row_level_security_filters", "table_columns", "sql_metrics", "dashboard_slices", "dashboard_roles")
    with app.app_context():
        return {name: db.session.execute(f"SELECT count(*) FROM {name}").scalar() for name in names}

def edit(kind, name, **values):
    from superset import db
    with app.app_context():
        (asset,) = [each for each in bundle.assets() if each.kind == kind and each.name == name]
        model = imported.find(asset)
        for key, value in values.items():
            setattr(model, key, value)
        db.session.commit()

def see(kind, name, field):
    with app.app_context():
        (asset,) = [each for each in bundle.assets() if each.kind == kind and each.name == name]
        model = imported.find(asset)
        return None if model is None else getattr(model, field)

with app.app_context():
    from superset import db, security_manager
    from superset.extensions import appbuilder
    Model.metadata.create_all(db.engine)
    appbuilder.sm.create_db()
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    for role in ("Admin", "Alpha", "Gamma"):
        found = security_manager.find_role(role)
        security_manager.add_user(role.lower(), role, "User", f"{role}@example.org", found, "pw-1234!")
database.apply_schema()
apply_views(database)
before = counts()

# Two at once, as where two containers start.
both, threads = [], [threading.Thread(target=lambda: both.append(install())) for _ in range(2)]
[each.start() for each in threads], [each.join() for each in threads]
say("both", both)
say("again", install())

# Opening a dashboard makes Superset write its colours.
def colours():
    metadata = json.loads(see("dashboard", "Query performance", "json_metadata"))
    metadata |= {"shared_label_colors": ["x"], "map_label_colors": {"x": "#fff"}, "color_scheme_domain": ["#fff"]}
    edit("dashboard", "Query performance", json_metadata=json.dumps(metadata))
colours()

# A person edits one of each kind, and then a new version of the package changes all.
edit("chart", "Requests", slice_name="My requests")
edit("dashboard", "Cache performance", css="/* mine */")
edit("dataset", "perf_chart", description="Mine.")
def changed(asset):
    values = {"cache_timeout": 7} if asset.kind == "chart" else {}
    return replace(asset, digest="new", config={**asset.config, **values})
newer = tuple(map(changed, bundle.assets()))
with mock.patch.object(dashboards, "assets", lambda: newer):
    say("newer", install())
say("kept", [
    see("chart", "Requests", "slice_name"), see("dashboard", "Cache performance", "css"),
    see("dataset", "perf_chart", "description"),
])
say("updated", see("chart", "Hit ratio", "cache_timeout"))

# A person deletes a chart, and then wants all back.
with app.app_context():
    from superset.models.slice import Slice
    db.session.delete(db.session.query(Slice).filter_by(slice_name="Warming runs").one())
    db.session.commit()
say("deleted", install())
say("restored", install(restore=True))
say("as before", [see("chart", "Requests", "slice_name"), see("chart", "Warming runs", "slice_name")])

# The reader's password is lost.
with app.app_context():
    url = see("database", "Cache performance log", "sqlalchemy_uri_decrypted")
say("url", url)
with database.transaction() as cursor:
    cursor.execute(f"ALTER ROLE {reader.role_name(database)} PASSWORD 'another'")
say("lost", install())
say("new url", see("database", "Cache performance log", "sqlalchemy_uri_decrypted"))

# Who sees them.
with app.app_context():
    role = security_manager.find_role(viewers.VIEWER)
    say("permissions", sorted(str(each) for each in role.permissions))
    gamma = security_manager.find_role("Gamma")
    security_manager.add_user("viewer", "View", "Er", "v@example.org", [role, gamma], "pw-1234!")

def seen_by(name):
    client = app.test_client()
    who = {"username": name, "password": "pw-1234!", "provider": "db"}
    token = client.post("/api/v1/security/login", json=who).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    listed = client.get("/api/v1/dashboard/", headers=headers).json
    opened = client.get("/api/v1/dashboard/cache-performance", headers=headers)
    with app.app_context():
        (asset,) = [each for each in bundle.assets() if each.name == "perf_refresh"]
        dataset = imported.find(asset).id
    query = {"columns": ["view"], "metrics": [], "row_limit": 100}
    body = {"datasource": {"id": dataset, "type": "table"}, "queries": [query]}
    asked = client.post("/api/v1/chart/data", headers=headers, json=body)
    rows = len(asked.json["result"][0]["data"]) if asked.status_code == 200 else None
    return {"listed": listed["count"], "opened": opened.status_code, "asked": asked.status_code, "rows": rows}

from superset.extensions import feature_flag_manager
for flag in (False, True):
    feature_flag_manager._feature_flags["DASHBOARD_RBAC"] = flag
    say(f"seen {flag}", {name: seen_by(name) for name in ("admin", "alpha", "gamma", "viewer")})

# All of it goes.
dashboards.remove(app, database)
after = counts()
say("left behind", {name: after[name] - before[name] for name in before if after[name] != before[name]})
say("roles", database.rows("SELECT rolname FROM pg_roles WHERE rolname = %s", (reader.role_name(database),)))
say("rows", database.rows("SELECT count(*) FROM superset_ext.installed_asset")[0]["count"])
print("SAID " + json.dumps(said, default=str))
"""


@pytest.fixture(scope="module")
def story(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each step of the story came to."""
    url = postgres.create_database(f"t_{uuid.uuid4().hex[:12]}")
    own = {
        "PYTHONPATH": str(ROOT), "SUPERSET_CONFIG_PATH": str(ROOT / "superset_config.py"),
        "SUPERSET_HOME": str(tmp_path_factory.mktemp("home")), "SUPERSET_SECRET_KEY": "k" * 42,
        "SUPERSET_EXT_REDIS_URL": shared_valkey.url, "SUPERSET_EXT_DATABASE_URL": url, "SUPERSET_EXT_RECORDER": "false",
    }  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SUPERSET", "FLASK"))}
    done = subprocess.run(
        [program("python"), "-c", STORY], env=kept | own, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    return {**json.loads(line.removeprefix("SAID ")), "log": url}


@pytest.mark.thorough
def test_two_installs_at_once_make_one_of_each(story: dict[str, Any]) -> None:
    """Intent: whichever of two containers comes second finds it done; once more changes nothing."""
    first, second = sorted(story["both"], key=lambda install: len(install["unchanged"]))
    assert sorted(first["created"]) == EVERYTHING
    assert sorted(second["unchanged"]) == sorted(story["again"]["unchanged"]) == EVERYTHING


@pytest.mark.thorough
def test_what_a_person_edited_is_left_and_the_rest_is_updated(story: dict[str, Any]) -> None:
    """Intent: a new version updates asset by asset, names what it left, and takes what Superset itself writes when
    somebody looks at a dashboard for no edit."""
    edited = ["Cache performance", "Requests", "perf_chart"]
    assert sorted(story["newer"]["edited"]) == edited
    assert sorted(story["newer"]["updated"]) == sorted(_without(EVERYTHING, edited))
    assert story["kept"] == ["My requests", "/* mine */", "Mine."]
    assert story["updated"] == 7


def _without(names: list[str], left: list[str]) -> list[str]:
    """All but those that were left; two charts of two dashboards may have one name."""
    rest = list(names)
    for asset in left:
        rest.remove(asset)
    return rest


def test_what_a_person_deleted_stays_deleted_until_they_want_it_back(story: dict[str, Any]) -> None:
    """Intent: an install at each start brings nothing back that somebody threw away; `restore` does."""
    assert story["deleted"]["deleted"] == ["Warming runs"]
    assert story["restored"]["created"] == ["Warming runs"]
    assert story["restored"]["edited"] == story["restored"]["deleted"] == []
    assert story["as before"] == ["Requests", "Warming runs"]


def test_a_lost_password_is_set_anew(story: dict[str, Any]) -> None:
    """Intent: an install mends the connection, and that is no edit of the database's entry."""
    assert sorted(story["lost"]["unchanged"]) == EVERYTHING
    assert story["new url"] != story["url"]
    assert reader.ROLE in story["new url"]


def test_the_role_opens_the_datasets_and_nothing_else(story: dict[str, Any]) -> None:
    """Intent: Performance viewer is given beside somebody's own role."""
    assert len(story["permissions"]) == len(of("dataset"))
    assert all(
        permission.startswith("datasource access on [Cache performance log]") for permission in story["permissions"]
    )


@pytest.mark.parametrize("flag", [False, True])
def test_nobody_else_sees_the_dashboards(story: dict[str, Any], flag: bool) -> None:
    """Intent: with and without DASHBOARD_RBAC neither Alpha, which may read all datasets, nor Gamma sees one."""
    seen = story[f"seen {flag}"]
    assert {name: (view["listed"], view["opened"]) for name, view in seen.items()} == {
        "admin": (3, 200), "viewer": (3, 200), "alpha": (0, 404), "gamma": (0, 404),
    }  # fmt: skip


@pytest.mark.parametrize("flag", [False, True])
def test_nobody_else_gets_a_row(story: dict[str, Any], flag: bool) -> None:
    """Intent: the data is refused by id too, to those who see no dashboard."""
    seen = story[f"seen {flag}"]
    assert seen["admin"]["rows"] == seen["viewer"]["rows"] > 0
    assert (seen["alpha"]["asked"], seen["gamma"]["asked"]) == (403, 403)


def test_all_of_it_goes(story: dict[str, Any]) -> None:
    """Intent: uninstalling leaves no row in Superset's tables, no role in PostgreSQL, and none of our own rows."""
    assert story["left behind"] == {}
    assert (story["roles"], story["rows"]) == ([], 0)


# The role that they read with.


@pytest.fixture
def database(views_url: str) -> Iterator[LogDatabase]:
    with closing(LogDatabase(views_url)) as made:
        yield made


def test_the_reader_sees_the_views_and_nothing_else(database: LogDatabase, views_url: str) -> None:
    """Intent: neither Superset's users nor our raw log, nor what views are put together from; and it writes nothing."""
    with database.transaction() as cursor:
        cursor.execute("CREATE TABLE public.ab_user (password text)")
    url = reader.ensure(database, views_url)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)
        cursor.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        )
        seen = {name for (name,) in cursor.fetchall()}
        assert seen == {f"superset_ext.{path.stem}" for path in _views()}
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cursor.execute("CREATE TABLE public.mine (n int)")
    database.close()


def _views() -> set[Path]:
    """Those that the contract with the datasets names."""
    return {Path(f"perf_{path.stem[3:]}") for path in (ROOT / "sql/views").glob("[0-9][0-9]_*.sql")}


def test_every_dataset_reads_a_view(database: LogDatabase, views_url: str) -> None:
    """Intent: each dataset's columns are there, and the reader may read them."""
    url = reader.ensure(database, views_url)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for dataset in of("dataset"):
            config = dataset.config
            source = f"({config['sql']}) AS virtual" if config["sql"] else f"superset_ext.{config['table_name']}"
            columns = [f'"{c["column_name"]}"' for c in config["columns"] if not c["expression"]]
            measured = [metric["expression"] for metric in config["metrics"]]
            cursor.execute(f"SELECT {', '.join(columns)} FROM {source}")
            if measured:
                cursor.execute(f"SELECT {', '.join(measured)} FROM {source}")


def test_a_view_that_was_made_anew_is_granted_anew(database: LogDatabase, views_url: str) -> None:
    """Intent: installing after an upgrade that changed a view mends the rights and keeps the password."""
    url = reader.ensure(database, views_url)
    with database.transaction() as cursor:
        cursor.execute("DROP VIEW superset_ext.perf_refresh; CREATE VIEW superset_ext.perf_refresh AS SELECT 1 AS n")
    assert reader.ensure(database, views_url, known=url) == url
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT n FROM superset_ext.perf_refresh")


def test_a_log_that_was_moved_is_read_where_it_is(database: LogDatabase, views_url: str) -> None:
    """Intent: the role still reaches the database that the log was in before, and that is no reason to stay there."""
    url = reader.ensure(database, views_url)
    before = url.rpartition("/")[0] + "/postgres"
    assert reader.connects(before)
    assert reader.unreadable(database, before) == []
    moved = reader.ensure(database, views_url, known=before)
    assert moved.rpartition("/")[2] == views_url.rpartition("/")[2]
    with database.transaction() as cursor:
        cursor.execute(f"REVOKE SELECT ON superset_ext.perf_chart FROM {reader.role_name(database)}")
    assert reader.unreadable(database, moved) == ["perf_chart"]
    assert "perf_chart" in reader.unreadable(database, moved.replace("//", "//no_such_"))


def test_where_no_role_may_be_made_one_line_asks_for_a_url(
    views_url: str, postgres: Postgres, database: LogDatabase
) -> None:
    """Intent: on a managed server the log's role may make no roles; its administrator's URL is then taken, and the
    rights on our views are given to its role all the same."""
    suffix = uuid.uuid4().hex[:8]
    weak = f"weak_{suffix}"
    with psycopg2.connect(views_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {weak} LOGIN PASSWORD 'w'; CREATE ROLE given_{suffix} LOGIN PASSWORD 'g'")
        cursor.execute("DROP SCHEMA superset_ext CASCADE")
        cursor.execute(f"GRANT CREATE ON DATABASE {views_url.rpartition('/')[2]} TO {weak}")
    mine = _as(views_url, weak, "w")
    log = LogDatabase(mine)
    log.apply_schema()
    apply_views(log)
    with pytest.raises(reader.ReaderError, match="SUPERSET_EXT_READER_URL") as refused:
        reader.ensure(log, mine)
    assert isinstance(refused.value, SupersetExtError)
    assert "\n" not in str(refused.value)
    given = _as(views_url, f"given_{suffix}", "g")
    assert reader.ensure(log, mine, given=given) == given
    with psycopg2.connect(given) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM superset_ext.perf_cache_hour")
    with pytest.raises(reader.ReaderError, match="no role 'nobody'"):
        reader.ensure(log, mine, given=_as(views_url, "nobody", "n"))


def _as(url: str, role: str, password: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).set(username=role, password=password).render_as_string(hide_password=False)


def test_the_files_are_a_superset_export() -> None:
    """Intent: the folder is what Superset's own import of assets takes: its metadata, and a version on each file."""
    assert yaml.safe_load((ASSETS / "metadata.yaml").read_text())["type"] == "assets"
    assert {asset.config["version"] for asset in assets()} == {"1.0.0"}
    assert len({asset.uuid for asset in assets()}) == len(assets())

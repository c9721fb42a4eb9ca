# ruff: noqa: E501  (SQL and intents that are easier to read in one line)
"""Aggregates of a DuckDB source as files beside it: built, kept up, compared, listed and dropped."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superset_ext.aggregates.files import anchor as anchors
from superset_ext.aggregates.files import making
from superset_ext.aggregates.files.anchor import COARSE_NS, MARGIN_NS, anchor, is_open_here, is_settled
from superset_ext.aggregates.files.catalogue import entry_of, named, stamp_of, write
from superset_ext.aggregates.files.place import make_folder, place_of, protect
from superset_ext.aggregates.files.turn import alone
from superset_ext.aggregates.service import Wanted, kept_up, planned, refreshed, sources
from superset_ext.aggregates.tables.refreshing import Busy
from superset_ext.errors import AggregateError, SupersetExtError, WatchError
from testing.duckdb_shop import (
    SALES,
    DuckShop,
    exact_and_different,
    fill,
    held,
    kept_of,
    source_of,
    written,
)
from testing.in_process import InProcess
from testing.routed import client

BY_SHOP = (
    "SELECT shop, COUNT(*) AS n, SUM(amount) AS a, MIN(amount) AS low, MAX(price) AS high FROM sales GROUP BY shop"
)


@pytest.fixture
def shop(duck: DuckShop) -> DuckShop:
    """The source, a DuckDB file."""
    return duck


def refresh(shop: DuckShop, name: str = "by_day") -> Any:
    with source_of(shop) as source:
        return source.refresh(name, whole=False)


def test_an_aggregate_from_its_statement_to_its_end(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: the commands do for a DuckDB source what they do for PostgreSQL: what is built is printed first, listed,
    refreshed, compared and dropped; and the source's own file is never written to."""
    before = anchor(shop.file)

    def perf(verb: str, *words: str, status: int = 0) -> str:
        result = superset_app.perf("aggregates", verb, "--database", shop.name, *words)
        assert result.exit_code == status, (result.output, result.exception)
        return str(result.output)

    assert "CREATE TABLE" in perf("build", "--sql", BY_SHOP, "--print") and not shop.folder.exists()
    out = perf("build", "--sql", BY_SHOP, "--name", "by_shop", "--filter", "shop", "--yes")
    assert "made anew every 60 s" not in out and "kept up by schedule" in out, out
    assert "by_shop: exact; 6 rows" in perf("list")
    assert "by_shop: equal" in perf("check")
    assert exact_and_different(shop, "by_shop") == (True, 0)
    assert anchor(shop.file) == before
    shop.run("DELETE FROM sales WHERE id < 50")
    assert "by_shop: exact" not in perf("list")
    assert "by_shop: all of it made anew, 6 rows" in perf("refresh")
    assert exact_and_different(shop, "by_shop") == (True, 0)
    assert "same rows already" in perf("build", "--sql", BY_SHOP, "--name", "other", "--yes", status=1)
    assert "by_shop: dropped" in perf("drop", "by_shop", "--yes")
    assert not shop.folder.exists()
    with superset_app.app.app_context():
        assert shop.number not in sources(superset_app.package.log())


def test_over_http(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: the routes do for a DuckDB file what they do for PostgreSQL, where Superset lets its administrator make
    tables; and uninstalling takes all of it away, while another process has the file too."""
    from superset_ext.uninstall import _remove_aggregates

    def done(verb: str, status: int = 200, **values: Any) -> Any:
        path = f"/api/v1/performance/aggregates/{verb}"
        answer = client(superset_app).post(path, json={"database": shop.name, **values})
        assert answer.status_code == status, answer.json
        return answer.json.get("result", answer.json)

    wanted = {"sql": BY_SHOP, "name": "by_shop", "run": True}
    assert "Allow DDL and DML" in str(done("build", 403, **wanted))
    superset_app.rows("UPDATE dbs SET allow_dml = true WHERE id = %s", (shop.number,))
    assert not done("build", **{**wanted, "run": False})["built"] and not shop.folder.exists()
    assert (done("build", **wanted)["rows"], done("build", 400, **wanted)["message"][:18]) == (6, "there is an aggreg")
    shop.run("DELETE FROM sales WHERE shop = 'shop1'")
    assert [row["how"] for row in done("refresh")] == ["whole"]
    assert [row["differences"] for row in done("check")] == [0]
    assert [row["dropped"] for row in done("drop", aggregates=["by_shop"], run=True)] == [True]
    done("build", **wanted)
    with superset_app.app.app_context(), held(shop.file):
        (step,) = _remove_aggregates(superset_app.app, superset_app.package.log())
    assert step.removed and step.text.endswith(": by_shop") and not shop.folder.exists()


def test_rows_that_differ_switch_it_off(shop: DuckShop) -> None:
    """Intent: what is not what its query gives is seen when all is compared, and nobody reads it from then on."""
    shop.build()
    rows = named(place_of(shop.url), "by_day").file(place_of(shop.url))
    written(rows, "UPDATE superset_ext_aggregates.by_day SET n = n + 1 WHERE shop = 'shop1'")
    assert not kept_of(shop)["by_day"].is_exact  # another file than the one that was built
    entry = entry_of(place_of(shop.url), "by_day")
    assert entry is not None
    write(place_of(shop.url), replace(entry, stamp=stamp_of(rows)))
    with source_of(shop) as source:
        assert source.check("by_day").differences > 0
        one = kept_of(shop)["by_day"]
        assert (one.state, one.is_exact) == ("off", False) and "differed" in one.reason
        with pytest.raises(AggregateError, match="is off"):
            source.refresh("by_day", whole=False)


CHANGES = {
    "a row comes": "INSERT INTO sales (shop) VALUES ('shop1')",
    "a row goes": "DELETE FROM sales WHERE id = 3",
    "a value changes": "UPDATE sales SET amount = 1 WHERE id = 4",
    "all rows go": "TRUNCATE sales",
    "another table": "CREATE TABLE other (a INTEGER)",
    "a column has another type": "ALTER TABLE sales ALTER amount TYPE BIGINT",
    "the table is made anew": "DROP TABLE sales; CREATE TABLE sales AS SELECT 1 AS id, 'x' AS shop, date '2024-01-01' "
    "AS day, timestamp '2024-01-01' AS ts, 1 AS amount, 1.5::DECIMAL(10, 2) AS price",
}


def test_whatever_is_committed_is_seen(shop: DuckShop) -> None:
    """Intent: after any commit the aggregate calls itself exact no more, and after a refresh it is; a commit that lies
    in the write-ahead log alone counts as much, and what was rolled back does not."""
    import duckdb

    shop.build()
    for change in CHANGES.values():
        shop.run(change)
        assert not kept_of(shop)["by_day"].is_exact, change
        assert refresh(shop).how == "whole"
        assert exact_and_different(shop) == (True, 0), change
    with closing(duckdb.connect(shop.url)) as connection:
        connection.execute("SET checkpoint_threshold = '1 GB'; PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("BEGIN; INSERT INTO sales (shop) VALUES ('rolled back'); ROLLBACK")
        assert kept_of(shop)["by_day"].is_exact
        connection.execute("INSERT INTO sales (shop) VALUES ('logged')")
        assert not kept_of(shop)["by_day"].is_exact
    assert Path(f"{shop.url}.wal").exists()
    assert refresh(shop).how == "whole" and exact_and_different(shop) == (True, 0)
    shop.replace(SALES)
    assert not kept_of(shop)["by_day"].is_exact and Path(f"{shop.url}.wal").exists()


def test_a_macro_in_place_of_a_function(shop: DuckShop) -> None:
    """Intent: where a macro has the name of a function of DuckDB, nothing is built or refreshed, since a chart that
    calls it does not mean what an aggregate keeps; other macros are no matter."""
    shop.run("CREATE MACRO own(x) AS x + 1")
    shop.build()
    shop.run("CREATE MACRO AVG(x) AS 0")
    with pytest.raises(AggregateError, match="function of DuckDB: avg"):
        refresh(shop)
    one = kept_of(shop)["by_day"]
    assert not one.is_exact and "a macro has the name" in one.reason


def test_a_commit_behind_a_link(tmp_path: Path) -> None:
    """Intent: where the source's file lies behind a link, what a killed writer has left in the write-ahead log alone,
    beside the file itself, counts too, since DuckDB reads it."""
    import duckdb

    file, link = tmp_path / "real.duckdb", tmp_path / "link.duckdb"
    fill(file)
    link.symlink_to(file)
    before, of_file = anchor(link), anchor(file)
    logged = "SET checkpoint_threshold = '1 GB'; PRAGMA disable_checkpoint_on_shutdown; DELETE FROM sales"
    written(file, logged)
    with closing(duckdb.connect(str(link), read_only=True)) as connection:
        assert connection.execute("SELECT count(*) FROM sales").fetchall() == [(0,)]
    assert anchor(file) != of_file and anchor(link) != before


def test_a_file_in_its_place(shop: DuckShop) -> None:
    """Intent: a file that is put in place of the source's, or copied over it with the old times, makes it not exact."""
    shop.build()
    shop.replace(SALES)
    assert not kept_of(shop)["by_day"].is_exact
    refresh(shop)
    assert exact_and_different(shop) == (True, 0)
    times = shop.file.stat()
    shop.file.write_bytes(shop.file.read_bytes())
    os.utime(shop.file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not kept_of(shop)["by_day"].is_exact


def test_times_are_coarse() -> None:
    """Intent: an anchor is believed once every clock of files has gone on since the last change; by whole seconds where
    the file system has no finer ones."""
    fine, coarse = 10**18 + 7, 10**18
    for changed, margin in ((fine, MARGIN_NS), (coarse, COARSE_NS)):
        current = f"[[1, 2, 3, 4, {changed}], null, null, null]"
        assert not is_settled(current, changed + margin - 1) and is_settled(current, changed + margin)


def test_changes_while_it_is_built(shop: DuckShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: rows that were read while the file was another one are thrown away; after three times a line says so."""
    shop.build()
    filled = making._filled

    def changed(*values: Any) -> Any:
        done = filled(*values)
        os.utime(shop.file)
        return done

    monkeypatch.setattr(making, "_filled", changed)
    shop.run("DELETE FROM sales WHERE id < 10")
    before = kept_of(shop)["by_day"]
    with pytest.raises(AggregateError, match="changed each time"):
        refresh(shop)
    after = kept_of(shop)["by_day"]
    assert (after.version, after.is_exact) == (before.version, False) and "changed each time" in after.reason
    assert not list(shop.folder.glob(".*"))


def test_an_old_file_that_is_open_still(shop: DuckShop) -> None:
    """Intent: while this process has the file open that was there before, nothing is built, since it would be of that."""
    import duckdb

    shop.build()
    with closing(duckdb.connect(shop.url, read_only=True, config={"custom_user_agent": "duckdb_engine/0.17.0"})):
        assert is_open_here(shop.file)
        shop.replace(
            "CREATE TABLE sales AS SELECT 1 AS id, 'x' AS shop, now()::timestamp AS ts, 1 AS amount, 1 AS price"
        )
        assert not is_open_here(shop.file)
        with pytest.raises(SupersetExtError):
            refresh(shop)
    assert not is_open_here(shop.file)


def test_a_writer_has_it(shop: DuckShop) -> None:
    """Intent: while another process has the file open to write, one line says so, and nothing is changed; what needs no
    look into it is still done."""
    shop.build()
    shop.run("DELETE FROM sales WHERE id < 10")
    before = entry_of(place_of(shop.url), "by_day")
    with held(shop.file):
        with pytest.raises(WatchError, match="another process has its file open to write; nothing was changed"):
            refresh(shop)
        assert entry_of(place_of(shop.url), "by_day") == before
        assert not kept_of(shop)["by_day"].is_exact
    assert refresh(shop).how == "whole"


def test_a_build_that_is_killed(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: what a killed run leaves is used by nobody, holds nobody up, and is taken away by the next one."""
    shop.build()
    place = place_of(shop.url)
    child = os.fork()
    if child == 0:
        try:
            making._put_in_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
            with source_of(shop) as source:
                source.refresh("by_day", whole=True)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert [path.suffix for path in shop.folder.glob(".by_day.*")] == [".new"]
    assert exact_and_different(shop) == (True, 0)
    shop.run("DELETE FROM sales WHERE id < 10")
    assert refresh(shop).how == "whole" and exact_and_different(shop) == (True, 0)
    assert not list(shop.folder.glob(".*"))
    rows = named(place, "by_day").file(place)
    assert rows.name.startswith("by_day.2.")
    assert sorted(path.name for path in shop.folder.iterdir()) == sorted([rows.name, "by_day.json", "by_day.lock"])


def test_two_runs_at_once(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: of several runs at an aggregate one goes on, and the others say that it is being refreshed."""
    shop.build()
    with alone(place_of(shop.url), "by_day"), source_of(shop) as source:
        for act in (lambda: source.refresh("by_day", True), lambda: source.drop("by_day", 1.0)):
            with pytest.raises(Busy, match="another run is at"):
                act()
        assert [result for _, result in refreshed(superset_app.app, shop.name, (), True)] == [
            "another run is at the aggregate by_day"
        ]
    results: list[str] = []

    def again() -> None:
        with source_of(shop) as one:
            try:
                results.append(one.refresh("by_day", whole=True).how)
            except Busy:
                results.append("busy")

    threads = [threading.Thread(target=again) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert "whole" in results and set(results) <= {"whole", "busy"}
    assert exact_and_different(shop) == (True, 0)


def test_another_process_is_at_it(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: while another process builds or refreshes it, this one does not; and its lock goes with that process,
    however it ends."""
    shop.build()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with alone(place_of(shop.url), "by_day"):
            os.write(writing, b"x")
            signal.pause()
        os._exit(1)
    try:
        assert os.read(reading, 1) == b"x"
        with pytest.raises(Busy, match="another run is at"), source_of(shop) as source:
            source.refresh("by_day", whole=True)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    with source_of(shop) as source:
        assert source.refresh("by_day", whole=True).how == "whole"


def test_upkeep(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: what has not changed is not made anew; what has is, by the task that looks; a refresh that fails says why,
    and goes on when it can."""
    shop.build(every_seconds=1)
    assert kept_up(superset_app.app, shop.number) == []
    shop.run("ALTER TABLE sales RENAME amount TO cost")
    _grown_old(shop)
    assert kept_up(superset_app.app, shop.number) == []
    one = kept_of(shop)["by_day"]
    assert one.state == "ready" and '"amount"' in one.reason and not one.is_exact
    shop.run("ALTER TABLE sales RENAME cost TO amount")
    assert [done.how for done in kept_up(superset_app.app, shop.number)] == ["whole"]
    assert exact_and_different(shop) == (True, 0) and kept_of(shop)["by_day"].reason == ""


def _grown_old(shop: DuckShop) -> None:
    entry = entry_of(place_of(shop.url), "by_day")
    assert entry is not None and entry.as_of is not None
    write(place_of(shop.url), replace(entry, as_of=entry.as_of - 60))


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "notes": ("", "no triggers", {"upkeep": "notes"}),
    "tail": ("", "no triggers", {"tail": "ts"}),
    "a view": ("CREATE VIEW v AS SELECT * FROM sales", "no table of the source's file", {"sql": BY_SHOP.replace("sales", "v")}),
    "a query of a view": ("CREATE VIEW v AS SELECT * FROM sales", "no table of the source's file",
                          {"sql": "SELECT shop, COUNT(*) AS n FROM (SELECT shop FROM v) AS q GROUP BY shop"}),
    "a file": ("", "no aggregate answers", {"sql": "SELECT a, COUNT(*) AS n FROM read_csv('/etc/hostname') GROUP BY a"}),
    "what is random": ("", "no aggregate answers", {"sql": "SELECT shop, SUM(random()) AS n FROM sales GROUP BY shop"}),
    "a column that is made": ("ALTER TABLE sales RENAME TO old; CREATE TABLE sales (shop VARCHAR, r DOUBLE GENERATED "
                              "ALWAYS AS (random()))", "generated column", {"sql": "SELECT shop, COUNT(r) AS n FROM sales GROUP BY shop"}),
    "another schema": ("CREATE SCHEMA s", "look names up in 'main'", {"schema": "s"}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(superset_app: InProcess, shop: DuckShop, case: str) -> None:
    """Intent: what could not be exact, or is not in the source's file, is refused with the reason."""
    before, reason, options = REFUSED[case]
    if before:
        shop.run(before)
    sql = options.pop("sql", BY_SHOP.replace("SELECT shop", "SELECT ts, shop").replace("BY shop", "BY ts, shop"))
    with superset_app.app.app_context(), pytest.raises(AggregateError, match=reason):
        planned(superset_app.app, shop.name, sql, Wanted("refused", **options))
    assert not shop.folder.exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (":memory:", "in memory"), ("", "in memory"), (None, "in memory"), ("md:shop", "MotherDuck"),
        ("s3://bucket/x.duckdb", "on another machine"), ("/a/*.duckdb", "pattern"),
    ],
)  # fmt: skip
def test_what_is_no_file(path: str | None, reason: str) -> None:
    """Intent: a database that is no file here has no aggregates, and a line says why."""
    with pytest.raises(AggregateError, match=reason):
        place_of(path)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [("", "opens it to write"), ("?access_mode=READ_ONLY&enable_external_access=false", "enable_external_access")],
)
def test_how_superset_opens_it(superset_app: InProcess, shop: DuckShop, parameters: str, reason: str) -> None:
    """Intent: where Superset opens the file to write, or may read no other, nothing is built, and a line says how to
    change that."""
    from superset.extensions import db
    from superset.models.core import Database

    def use(uri: str) -> None:
        with superset_app.app.app_context():
            db.session.get(Database, shop.number).set_sqlalchemy_uri(uri)
            db.session.commit()

    use(f"duckdb:///{shop.url}{parameters}")
    try:
        with pytest.raises(AggregateError, match=reason):
            shop.build()
    finally:
        use(f"duckdb:///{shop.url}?access_mode=READ_ONLY")


@pytest.mark.parametrize(
    ("mode", "ours", "folder"), [(0o640, 0o640, 0o750), (0o600, 0o600, 0o700), (0o644, 0o644, 0o755)]
)
def test_who_may_read_it(shop: DuckShop, mode: int, ours: int, folder: int) -> None:
    """Intent: all files of an aggregate have the rights of the source's file; where they cannot have its owner and
    group, the rest may no more than everybody may; behind a link they are the builder's alone."""
    shop.file.chmod(mode)
    shop.build()
    assert {path.stat().st_mode & 0o777 for path in shop.folder.iterdir()} == {ours}
    assert shop.folder.stat().st_mode & 0o777 == folder
    link = shop.file.with_suffix(".link")
    link.symlink_to(shop.file)
    other = shop.file.with_suffix(".other")
    other.touch()
    protect(other, link)
    assert other.stat().st_mode & 0o777 == 0o600
    link.unlink()


def test_a_list_of_rights_that_is_inherited(tmp_path: Path) -> None:
    """Intent: where a folder gives all new files to one more person (a default ACL), who may not read the source, what
    lies beside it is not that person's either."""
    everybody = 0xFFFFFFFF
    rights = ((1, 7, everybody), (2, 7, 1234), (4, 5, everybody), (16, 7, everybody), (32, 0, everybody))
    place = place_of(str(tmp_path / "shop.duckdb"))
    place.file.touch(0o640)
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in rights)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", listed)
    except OSError:
        pytest.skip("this file system has no lists of rights")
    make_folder(place)
    rows = place.rows("by_day", 1, "token")
    os.setxattr(place.folder, "system.posix_acl_default", listed)  # as an earlier version has left it
    rows.touch()
    protect(rows, place.file)
    assert os.listxattr(rows) == []
    assert "system.posix_acl_access" not in os.listxattr(place.folder)


def test_a_folder_of_somebody_else(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: what more people may write to than to the source is not believed, and nothing is written there."""
    shop.build()
    assert list(kept_of(shop)) == ["by_day"]
    shop.folder.chmod(0o777)
    assert not kept_of(shop)
    with pytest.raises(AggregateError, match="more may write to it"):
        shop.build(BY_SHOP, "by_shop")
    shop.folder.chmod(0o755)


def test_a_folder_that_cannot_be_written(
    superset_app: InProcess, shop: DuckShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intent: where no folder can be made beside the file, or a file cannot be written, a line says so."""
    shop.folder.write_text("in the way")
    with pytest.raises(AggregateError, match="cannot be made"):
        shop.build()
    shop.folder.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(AggregateError, match="cannot be written to by this process"):
        shop.build()


def test_the_lock_of_the_source_is_kept(shop: DuckShop) -> None:
    """Intent: looking at the file and at what is open takes none of DuckDB's locks on it from this process: another one
    cannot open it to write."""
    import duckdb

    shop.build()
    with closing(duckdb.connect(shop.url, read_only=True)):
        assert is_open_here(shop.file) and anchor(shop.file) and kept_of(shop)["by_day"].is_exact
        script = f"import duckdb; duckdb.connect({shop.url!r})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "Could not set lock" in done.stderr


def test_anchors_by_name() -> None:
    """Intent: all files are looked at that DuckDB writes of a database."""
    assert anchors._PARTS == ("", ".wal", ".wal.checkpoint", ".wal.recovery")


def test_nothing_is_made_over_an_earlier_connection(shop: DuckShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a chart of this process has the file open, and somebody reads the file by a function, which takes DuckDB's
    lock away, so that another process writes. A connection that is made then would read what the chart's does. Nothing
    is built or compared over it; once the chart has ended, what was committed is in it."""
    import duckdb

    monkeypatch.setattr(anchors, "_PATIENCE_SECONDS", 0.5)
    shop.build()
    with closing(duckdb.connect(str(shop.file), read_only=True)) as chart:
        assert chart.execute("SELECT count(*) FROM sales").fetchone() == (1000,)
        os.close(os.open(shop.file, os.O_RDONLY))  # as a function does that reads a file, whenever it closes it
        shop.run("DELETE FROM sales WHERE id <= 500")
        with source_of(shop) as source:
            for made in (lambda: source.refresh("by_day", whole=False), lambda: source.check("by_day")):
                with pytest.raises(AggregateError, match="in this process"):
                    made()
        assert not kept_of(shop)["by_day"].is_exact
    assert refresh(shop).how == "whole" and exact_and_different(shop) == (True, 0)
    assert sum(row[0] for row in shop.run("SELECT count(*) FROM sales")) == 500


def test_no_later_aggregate_has_the_same_file(shop: DuckShop) -> None:
    """Intent: DuckDB takes a file of the same name for the one that a statement reads still, so that one that is
    dropped and built again has another."""
    place, names = place_of(shop.url), set[str]()
    for _ in range(2):
        shop.build()
        names.add(named(place, "by_day").file(place).name)
        with source_of(shop) as source:
            source.drop("by_day", 0.0)
    assert len(names) == 2


def test_rights_that_are_taken_back_later(superset_app: InProcess, shop: DuckShop) -> None:
    """Intent: where fewer people may read the source than when an aggregate was built, no more may read that after the
    next time that upkeep looks, though its rows are right; and where nothing was taken back nothing is touched."""
    shop.file.chmod(0o644)
    shop.build()
    place = place_of(shop.url)
    rows = named(place, "by_day").file(place)
    before = rows.stat().st_ctime_ns
    kept_up(superset_app.app, shop.number)
    assert rows.stat().st_ctime_ns == before and rows.stat().st_mode & 0o777 == 0o644
    shop.file.chmod(0o600)
    try:
        kept_up(superset_app.app, shop.number)
        modes = {path.name: path.stat().st_mode & 0o077 for path in (shop.folder, *shop.folder.iterdir())}
        assert set(modes.values()) == {0}, modes
        refresh(shop)  # what was touched is made anew
        assert exact_and_different(shop) == (True, 0)
    finally:
        shop.file.chmod(0o644)

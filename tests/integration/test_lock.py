"""An environment that holds what requirements.txt names and nothing else: Superset starts in it, and so does the
package when it is installed there as a wheel, with no folder of this repository in sight."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from superset_ext.embedded.valkey import Valkey
from testing.serving import process
from testing.stack import PATIENT
from testing.superset_tables import make_tables
from testing.warming import until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.lock,
    pytest.mark.thorough,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("CI") != "true", reason="once a CI run; CI=true runs it here"),
]


@pytest.fixture(scope="module")
def uv() -> str:
    """The installer that comes with the environment that `make test` makes."""
    path = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert path, "uv comes with the virtual environment that make test makes"
    return path


@pytest.fixture(scope="module")
def programs(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with what requirements.txt names."""
    environment = tmp_path_factory.mktemp("lock") / "venv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "-r", ROOT / "requirements.txt"], check=True)
    return python.parent


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's wheel, built from its source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([uv, "build", "--quiet", "--out-dir", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    return built


def environment_of(programs: Path, folder: Path, **more: str) -> dict[str, str]:
    """The environment of Superset's processes; nothing of this repository is on any path."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "SUPERSET_SECRET_KEY": "of-the-test" * 4, "SUPERSET_HOME": str(folder), **more}


def run(command: list[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_the_lock_starts_superset(programs: Path, tmp_path: Path) -> None:
    """Intent: requirements.txt is whole, and what it names works together; stock's own requirements no longer do."""
    done = run([str(programs / "superset"), "version"], environment_of(programs, tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "6.1.0" in done.stdout


def test_the_wheel_holds_what_is_mounted(wheel: Path) -> None:
    """Intent: an installed package lacks no file that a mounted one has; what runs this repository's stack aside."""
    files = {path for folder in ("superset_ext", "sql") for path in (ROOT / folder).rglob("*") if path.is_file()}
    names = {str(path.relative_to(ROOT)) for path in files if path.parent.name != "__pycache__"}
    mounted = {f"superset_ext/{name}" if name.startswith("sql/") else name for name in names}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == {name for name in mounted if not name.startswith("superset_ext/embedded/")}
    assert {"superset_ext/py.typed", "superset_ext/sql/schema/01_schema.sql"} <= packed


@pytest.mark.marathon
def test_the_installed_wheel_runs(
    uv: str, programs: Path, wheel: Path, database_url: str,
    fresh_valkey: Callable[..., Valkey], tmp_path: Path,
) -> None:  # fmt: skip
    """Intent: installed, with one line of config, it does what it does when it is mounted: tables, dashboards, worker,
    beat and doctor."""
    python, superset, celery = (str(programs / name) for name in ("python", "superset", "celery"))
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, wheel], check=True)
    valkey = fresh_valkey(args=["--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru"])
    config = tmp_path / "config" / "superset_config.py"
    config.parent.mkdir()
    config.write_text("from superset_ext.config import *\n")
    web = socket.create_server(("127.0.0.1", 0))  # in place of the web server, which is not what is tested
    env = environment_of(
        programs, tmp_path, PYTHONPATH=str(config.parent), SUPERSET_EXT_REDIS_URL=valkey.url,
        SUPERSET_EXT_DATABASE_URL=database_url, **PATIENT,
        SUPERSET_EXT_WARM_BASE_URL=f"http://127.0.0.1:{web.getsockname()[1]}",
    )  # fmt: skip
    where = run([python, "-c", "import superset_ext; print(superset_ext.__file__)"], env, tmp_path).stdout
    assert Path(where.strip()).is_relative_to(programs.parent)
    make_tables(database_url)
    for words in (["init"], ["perf", "upgrade"]):
        done = run([superset, *words], env, tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]

    beat = ["--beat", "--schedule-filename", str(tmp_path / "beat")]
    worker = [celery, "--app=superset.tasks.celery_app:app", "worker", "--pool=prefork", "--concurrency=1", *beat]
    with process(worker, env, tmp_path / "worker.log", cwd=tmp_path), closing(psycopg2.connect(database_url)) as log:
        log.autocommit = True
        cursor = log.cursor()
        until(lambda: cursor.execute("SELECT FROM superset_ext.heartbeat") or cursor.rowcount)
        done = run([superset, "perf", "doctor"], env, tmp_path)
    web.close()
    lines = [line for line in done.stdout.splitlines() if line.startswith(("fine", "warning", "error"))]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert len(lines) > 10 and all(line.startswith("fine ") for line in lines), lines

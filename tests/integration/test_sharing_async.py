"""Nobody sees more where a worker computes the answer: three users and guests of embedded dashboards, over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.superset_app import run

pytestmark = pytest.mark.timeout(1800)
GUESTS = """
GUEST_ROLE_NAME = "guests"
GUEST_TOKEN_JWT_SECRET = "the secret of the guests of the test, long enough"
GUEST_TOKEN_JWT_AUDIENCE = "the test"
FEATURE_FLAGS = {"ENABLE_TEMPLATE_PROCESSING": True, "ALLOW_ADHOC_SUBQUERY": True, "EMBEDDED_SUPERSET": True}
"""
SETTINGS = f"""
WTF_CSRF_ENABLED = False
{GUESTS}
from superset_ext.config import *
"""
STORY = f"""
from pathlib import Path
from testing.sharing import World
from testing.sharing_async import story
say(story(World(app, source), Path(os.environ["FOLDER"]), int(os.environ["PORT"]), {GUESTS!r}))
"""


@pytest.fixture(scope="module")
def report(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What was asked within the request, and what that came to."""
    folder = tmp_path_factory.mktemp("asynchronous")
    valkey = Valkey(folder / "valkey").start()
    metadata, source = (postgres.create_database(f"{name}_{uuid.uuid4().hex[:8]}") for name in ("meta", "source"))
    env = {"SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false"}
    yield run(STORY, metadata, source, folder, SETTINGS, FOLDER=str(folder), PORT=str(valkey.port), **env)
    valkey.stop()


@pytest.mark.marathon
def test_each_user_and_guest_gets_their_own_from_a_worker(report: Any) -> None:
    """Intent: get in web, get and set in the worker, get in web again, with one key; nested, by metric, as annotation;
    rules added, changed, removed; forced, and all at the same time. Guests of an embedded dashboard likewise."""
    assert report["different"] == []
    assert report["refused"] == 0


@pytest.mark.marathon
def test_what_a_worker_has_stored_answers_at_once(report: Any) -> None:
    """Intent: the worker's key is that of whoever asked; without that, each answer would take a worker anew."""
    assert report["by worker"] > 0
    assert report["at once"] > report["asked"] / 3


@pytest.mark.marathon
def test_what_was_warmed_answers_at_once(report: Any) -> None:
    """Intent: the keys of a warming run are those of the web and of the worker, for users and for guests."""
    assert all(report["warmed"].values())

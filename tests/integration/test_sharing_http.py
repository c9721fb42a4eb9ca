"""Nobody sees more, over HTTP: three users, guests, forced and warmed, while row-level rules change."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.superset_app import run

pytestmark = pytest.mark.timeout(1800)
SETTINGS = """
WTF_CSRF_ENABLED = False
GUEST_ROLE_NAME = "guests"
GUEST_TOKEN_JWT_SECRET = "the secret of the guests of the test, long enough"
FEATURE_FLAGS = {"ENABLE_TEMPLATE_PROCESSING": True, "ALLOW_ADHOC_SUBQUERY": True, "EMBEDDED_SUPERSET": True}
"""
PACKAGE = "from superset_ext.config import *\n"
STORY = """
from testing.sharing import World
from testing.sharing_http import story
say(story(World(app, source)))
"""


def played(postgres: Postgres, valkey: Valkey, folder: Path) -> Any:
    metadata, source = (postgres.create_database(f"{name}_{uuid.uuid4().hex[:8]}") for name in ("meta", "source"))
    env = {"SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false"}
    return run(STORY, metadata, source, folder, SETTINGS + PACKAGE, **env)


@pytest.fixture(scope="module")
def report(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What was asked within the request, and what that came to."""
    return played(postgres, shared_valkey, tmp_path_factory.mktemp("http"))


@pytest.mark.thorough
def test_each_user_and_guest_gets_their_own(report: Any) -> None:
    """Intent: nested three deep, by metric, filter and annotation; rules added, changed, removed; forced and warmed."""
    assert report["different"] == []
    assert report["hits"] > report["asked"] / 3
    assert report["refused"] == 0


@pytest.mark.thorough
def test_what_was_warmed_is_read_by_whom_it_was_warmed_for(report: Any) -> None:
    """Intent: the keys of a warming run, which replays requests, are those of the user's own requests."""
    assert all(report["warmed"])


@pytest.mark.thorough
def test_a_new_token_of_the_same_guest_hits(report: Any) -> None:
    """Intent: a token lives for minutes; its times are no part of who asks."""
    assert all(report["new tokens"].values())


@pytest.mark.thorough
def test_what_was_warmed_for_a_guest_is_read_by_that_guest(report: Any) -> None:
    """Intent: likewise for guests of an embedded dashboard over nested datasets and annotation charts."""
    assert all(report["warmed for guests"])


@pytest.mark.thorough
def test_a_guest_is_refused_what_stock_refuses(report: Any) -> None:
    """Intent: a guest whose role may not read what is nested gets nothing of somebody else's cached answer."""
    assert report["refused guests"] > 0
    assert report["different"] == []

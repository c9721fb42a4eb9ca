"""The documents of a dashboard's opening are given again only while Superset would give them: to whom, and as they are.

The same app with its grants switched off is the oracle. A 304 is an answer, too: it says that the oracle would give the
bytes now that the asker has.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from superset_ext.grants.documents import ENDPOINTS, unwatched_tables
from testing.documents_site import KINDS
from testing.grants import CSRF_SETTINGS
from testing.regions import PATIENT
from testing.superset_app import run

pytestmark = [pytest.mark.timeout(1800), pytest.mark.thorough]  # they are off, as grants are
START = """
from testing import documents, documents_site, grants
world = grants.World(app, source, os.environ["METADATA"])
from flask.globals import _cv_app
_cv_app.get().pop()
documents_site.prepare(world)
world.ready()
"""
SCRIPT = """
results = {
    "statements": documents.statements(world),
    "changes": documents.each_change(world),
    "api": documents.by_api(world, only=("star", "title", "draft", "published", "other role", "own role")),
    "others": documents.others(world),
    "clock": documents.clock(world),
    "refused": documents.refused(world),
    "equal": documents.equal(world, ("session",), ("zstd",)),
    "guests": documents.guests(world),
}
"""
LONGER = """
results = {
    "changes": documents.every_change(world),
    "api": documents.by_api(world),
    "equal": documents.equal(world, ("jwt", "session"), ("identity", "gzip", "br", "zstd")),
}
"""
END = """
from superset_ext.core.signals import failures
results["failures"] = dict(failures)
say(results)
"""


def run_in_app(script: str, postgres: Postgres, valkey: Valkey, folder: Path) -> dict[str, Any]:
    """What a script came to in an app that grants documents."""
    metadata, source = (postgres.create_database(f"{name}_{uuid.uuid4().hex[:8]}") for name in ("meta", "source"))
    own: dict[str, Any] = {
        "SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false", "SUPERSET_EXT_GRANTS": "triggers",
        "SUPERSET_EXT_GRANTS_DOCUMENTS": "true", "SUPERSET_EXT_GRANTS_SECONDS": "3600",
        "SUPERSET_EXT_EVENT_LOG_SECONDS": "0.5",
        **{f"SUPERSET_EXT_{name}": str(value) for name, value in PATIENT.items()},
    }  # fmt: skip
    result: dict[str, Any] = run(START + script + END, metadata, source, folder, CSRF_SETTINGS, **own)
    return result


@pytest.fixture(scope="module")
def results(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What everything came to, in one process."""
    return run_in_app(SCRIPT, postgres, shared_valkey, tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_given_again_without_a_statement_of_superset_s(kind: str, results: dict[str, Any]) -> None:
    """Intent: each kind is granted at all, and none of Superset's statements is left, but for a log's own."""
    stock, again = results["statements"][kind]
    assert stock >= 5
    assert again == 0


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_change_past_superset_each_answer_is_the_oracle_s(kind: str, results: dict[str, Any]) -> None:
    """Intent: rights, people, and what the document says, by raw SQL; asked at once, with its ETag and without."""
    wrongs = {
        f"{change}: {name}": why
        for change, result in results["changes"].items()
        for name, why in result["wrong"].items()
        if name.removesuffix(" undone") == kind
    }
    assert wrongs == {}


def test_the_changes_do_change_something(results: dict[str, Any]) -> None:
    """Intent: an oracle that always says the same would show nothing."""
    unmoved = {name for name, result in results["changes"].items() if not result["moved"]}
    assert unmoved == set()
    assert set(results["changes"]["deactivated"]["moved"]) == set(KINDS)


def test_after_a_change_by_superset_each_answer_is_the_oracle_s(results: dict[str, Any]) -> None:
    """Intent: stars, titles, charts, datasets, databases, drafts and roles by the API that its pages use."""
    assert failed(results["api"]) == {}


def failed(api: dict[str, Any]) -> dict[str, Any]:
    """The changes by the API with a wrong answer afterwards, or that did nothing."""
    return {
        name: step
        for name, step in api.items()
        if step["wrong"] or step["status"] not in (200, 201) or not step["moved"]
    }


def test_somebody_else_s_etag_opens_nothing(results: dict[str, Any]) -> None:
    """Intent: who comes with it, with a tampered token or with none, is told what Superset tells them."""
    assert results["others"] == {}


def test_guests_are_answered_by_their_claims(results: dict[str, Any]) -> None:
    """Intent: a dashboard that is no longer embedded is given to no guest, with an ETag or without."""
    guests = results["guests"]
    assert guests["wrong"] == {}
    assert {"dashboard", "charts", "datasets"} <= set(guests["granted"])
    assert {guests["now"][name] for name in ("dashboard", "charts", "datasets", "embedded")} == {404}


def test_ages_are_as_of_now(results: dict[str, Any]) -> None:
    """Intent: «a day ago» is no longer said two days later."""
    assert results["clock"]["wrong"] == {}
    assert {"dashboard", "drill_info", "databases"} <= set(results["clock"]["moved"])


def test_a_function_of_the_config_is_not_guessed_at(results: dict[str, Any]) -> None:
    """Intent: a filter of databases, or a digest of thumbnails, may ask anything."""
    assert results["refused"] == {"EXTRA_DYNAMIC_QUERY_FILTERS": 0, "THUMBNAIL_DASHBOARD_DIGEST_FUNC": 0}


def test_bytes_headers_and_log_are_superset_s(results: dict[str, Any]) -> None:
    """Intent: but for the ETag and what goes with it."""
    assert results["equal"] == {}


def test_nothing_failed_in_secret(results: dict[str, Any]) -> None:
    """Intent: a hook that fails lets Superset answer, and would hide that documents are not granted."""
    assert results["failures"] == {}


def test_what_was_read_of_a_table_without_a_trigger_refuses() -> None:
    """Intent: a document of a later Superset that reads more than today's is not granted blindly."""
    log, plain = "INSERT INTO logs (action) VALUES (%s)", "SELECT dashboards.id FROM dashboards"
    assert unwatched_tables([log, plain]) == []
    assert unwatched_tables([plain, "SELECT 1 FROM dashboards JOIN report_schedule ON true"]) == ["report_schedule"]


def test_nothing_that_has_a_token_or_a_count_of_log_ins_is_granted() -> None:
    """Intent: CSRF tokens are new each time, and what a log-in writes has no trigger."""
    assert not {one for one in ENDPOINTS if one.startswith(("SecurityRestApi", "CurrentUserRestApi", "Superset."))}


def test_every_change_and_every_document(postgres: Postgres, shared_valkey: Valkey, tmp_path: Path) -> None:
    """Intent: the same for each change with other documents too, and undone, by token; and for each encoding."""
    longer = run_in_app(LONGER, postgres, shared_valkey, tmp_path)
    assert {name: result["wrong"] for name, result in longer["changes"].items() if result["wrong"]} == {}
    assert failed(longer["api"]) == {}
    assert longer["equal"] == {}
    assert longer["failures"] == {}

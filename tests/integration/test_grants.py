"""An answer is given again only while Superset would give it: same person, same rights, same rows.

The same app with its grants switched off is the oracle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.grants_app import run_in_app

pytestmark = [pytest.mark.timeout(1800), pytest.mark.thorough]  # they are off, which test_grants_off.py looks at
SCRIPT = """
from testing import grants_asked, grants_boards, grants_changes, grants_lookalikes
results = {
    "late": grants_changes.late_commit(world),
    "lookalikes": grants_lookalikes.lookalikes(world),
    "changes": grants_changes.changes(world, 1, 4),
    "killed": grants_changes.killed(world, 3),
    "writers": grants_changes.writers(world, 4, 1),
    "credentials": grants_asked.credentials(world),
    "bytes": grants_asked.equal_bytes(world, ("identity", "zstd")),
    "refused": grants_asked.refused(world),
    "logs": grants_asked.counted(world),
    "told": grants_asked.counted_hits(world),
    "behind": grants_asked.behind(world),
    "api": grants_changes.by_api(world),
    "fresh": grants_changes.fresh(world),
    "contents": grants_boards.contents(world),
    "colored": grants_boards.colored(world),
    "by filter": grants_boards.by_filter(world),
    "reads": {"boards": world.boards, **grants_boards.reads(world)},
    "guests": grants_asked.guests(world),
    "stopped": grants_changes.stopped(world),
}
"""
LONGER = """
from testing import grants_asked, grants_changes
results = {
    "killed": grants_changes.killed(world, 12),
    "writers": grants_changes.writers(world, 8, 3),
    "bytes": grants_asked.equal_bytes(world, ("identity", "gzip", "br", "zstd")),
}
"""


@pytest.fixture(scope="module")
def results(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What everything came to, in one process."""
    return run_in_app(SCRIPT, postgres, shared_valkey, tmp_path_factory.mktemp("grants"))


def test_a_change_past_superset_is_seen_at_once(results: dict[str, Any]) -> None:
    """Intent: rights, rules, users and datasets that raw SQL changes; the next answer is the oracle's."""
    assert results["changes"]["different"] == []
    assert results["changes"]["asked"] == 8


def test_requests_that_look_alike_are_told_apart(results: dict[str, Any]) -> None:
    """Intent: bodies, arguments, headers, methods, credentials; each has status, headers and bytes of its own."""
    assert results["lookalikes"]["wrong"] == {}
    assert {"plain", "spaces", "doubled key", "form", "session", "guest"} <= set(results["lookalikes"]["given"])


def test_a_change_by_superset_is_seen_at_once(results: dict[str, Any]) -> None:
    """Intent: people, roles, rights, rules and datasets that Superset's own pages change; each as the oracle says."""
    api = results["api"]
    assert all(answer[0] and answer[2] in (200, 201) for answer in api.values()), api
    statuses = {name: answer[1] for name, answer in api.items() if answer[1] != 200}
    assert statuses == {"inactive": 401, "other role": 403, "no rights": 403}


def test_rows_that_changed_end_a_grant(results: dict[str, Any]) -> None:
    """Intent: a told change, another person's forced read, a deleted entry; until then the old answer is stock's."""
    assert results["fresh"] == {name: [True, True, True] for name in ("told", "forced", "deleted")}


def test_contents_of_a_dashboard_concern_who_has_read_it(results: dict[str, Any]) -> None:
    """Intent: an owner's browser writes colors at each opening; the answers of other dashboards are given on."""
    kept = {"another's colors", "another's layout", "its own label colors", "nothing", "no row"}
    for name, (given, equal) in results["contents"].items():
        assert equal, name
        assert given is (name.split(": ")[1] in kept), name


def test_label_colors_make_no_other_request(results: dict[str, Any]) -> None:
    """Intent: a browser sends them with each request, and no answer has them; the row in `logs` does. What has their
    name elsewhere may be read by a template."""
    given = {name: given for name, (given, _, _) in results["colored"].items()}
    assert given == {"colors": True, "table": True, "argument": False, "beside": False}
    assert all(equal and rows for _, equal, rows in results["colored"].values()), results["colored"]


def test_contents_of_a_dashboard_that_allow_no_more(results: dict[str, Any]) -> None:
    """Intent: a filter that allowed somebody to read a dataset is taken out of the dashboard's contents."""
    assert results["by filter"]["allowed"] == 200
    assert results["by filter"]["refused"] == 403
    assert results["by filter"]["then"] == [True, 403]


def test_which_dashboards_were_read_is_known_or_said_not_to_be(results: dict[str, Any]) -> None:
    """Intent: a read of contents that makes no object of its row counts as one of every dashboard."""
    noted = results["reads"]
    boards = sorted(noted.pop("boards"))
    one = {"row", "get", "another name", "a part"}
    assert {name for name, ids in noted.items() if ids == boards[:1]} == one
    assert {name for name, ids in noted.items() if ids == boards} == {"of a chart", "joined", "joined, limited"}
    assert {name for name, ids in noted.items() if ids == []} == {"number", "chart", "how many"}
    assert {name for name, ids in noted.items() if ids is None} == {
        "column", "column beside a row", "column, another name", "newest", "newest chart", "in order", "where",
        "exists", "within", "new style", "then", "table", "text", "text of columns", "text, labelled",
    }  # fmt: skip


def test_a_transaction_that_ends_late_is_seen(results: dict[str, Any]) -> None:
    """Intent: it had written before the answer was granted, and ends after one with a larger id; no counter sees it."""
    assert results["late"] == [[True, 403]]


def test_a_writer_that_is_killed_leaves_what_it_committed(results: dict[str, Any]) -> None:
    """Intent: killed before it wrote, before its commit, and after."""
    assert results["killed"]["different"] == []


def test_writers_at_once(results: dict[str, Any]) -> None:
    """Intent: who has lost a role is refused from the commit on, whatever others write meanwhile."""
    assert results["writers"]["wrong"] == []


def test_credentials_are_checked_as_ever(results: dict[str, Any]) -> None:
    """Intent: tampered, expired, swapped and doubled ones have the oracle's answer."""
    assert {name: answer for name, answer in results["credentials"].items() if not answer[0]} == {}
    assert results["credentials"]["expired"] == [True, 401]
    assert results["credentials"]["signature"][1] in (401, 422)


def test_bytes_and_headers_are_superset_s(results: dict[str, Any]) -> None:
    """Intent: for each encoding and credential; also where the answer says a moment that is another one by now."""
    assert {name for name, equal in results["bytes"].items() if not equal} == set()


def test_guests_see_by_their_claims(results: dict[str, Any]) -> None:
    """Intent: the rules of a token decide, not the token; a dashboard that is no longer embedded ends the grant."""
    removed = results["guests"].pop("removed")
    assert set(results["guests"].values()) == {True}, results["guests"]
    assert removed == [True, 403]


def test_what_cannot_be_known_is_not_granted(results: dict[str, Any]) -> None:
    """Intent: forced reads, downloads and templates that ask for the time are answered by Superset each time."""
    refused = results["refused"]
    assert refused.pop("rule within") == 1  # what can be known is granted
    assert refused | {"url": 0} == dict.fromkeys(("force", "csv", "samples", "column asks", "url", "rule asks"), 0)


def test_an_answer_that_is_given_again_is_logged_as_any(results: dict[str, Any]) -> None:
    """Intent: popularity and recent activity read `logs`; rows are equal but for time and duration."""
    assert results["logs"] == {"equal": True, "rows": 3, "differ": []}


def test_an_answer_that_is_given_again_is_counted_as_a_hit(results: dict[str, Any]) -> None:
    """Intent: the log of the caches and the registry hear of it as of any hit."""
    assert results["told"] == {"equal": True, "told": 2, "differ": []}


def test_behind_gunicorn_nobody_waits_for_what_is_counted_and_kept(results: dict[str, Any]) -> None:
    """Intent: an answer is stored, and one that is given again is counted and logged, once its last byte is sent."""
    counts = results["behind"]
    assert counts["kept"] == [1]
    assert counts["given"] == [2]
    assert counts["told"] == [0, 2]
    assert counts["rows"] == [3, 6]


def test_without_its_triggers_nothing_is_granted(results: dict[str, Any]) -> None:
    """Intent: switched off, switched on again, dropped and uninstalled; nothing of theirs is left then."""
    stopped = results["stopped"]
    assert stopped.pop("left") == 0
    assert all(answer[0] for answer in stopped.values()), stopped
    assert stopped["disabled"] == [True, 403]


def test_nothing_failed_in_secret(results: dict[str, Any]) -> None:
    """Intent: a hook that fails lets Superset answer, and would hide that grants do not work."""
    assert results["failures"] == {}


def test_every_hook_is_guarded(results: dict[str, Any]) -> None:
    """Intent: no fault of a hook fails a request."""
    assert len(results["hooks"]) == 4
    assert all(results["hooks"].values()), results["hooks"]


@pytest.mark.thorough
def test_more_writers_and_encodings(postgres: Postgres, shared_valkey: Valkey, tmp_path: Path) -> None:
    """Intent: killed writers, eight writers, and each encoding."""
    longer = run_in_app(LONGER, postgres, shared_valkey, tmp_path)
    assert longer["killed"]["different"] == []
    assert longer["writers"]["wrong"] == []
    assert {name for name, equal in longer["bytes"].items() if not equal} == set()
    assert longer["failures"] == {}

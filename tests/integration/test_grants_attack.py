"""Nobody is given again what Superset would not give: rights change on every way, each followed at once by a request.

Who may see what is changed by Superset's pages, its models, raw SQL on the metadata database, replication, prepared and
late transactions, and writers that are killed at each step of a commit. `GRANTS_CHANGES=10000 pytest
tests/integration/test_grants_attack.py -m thorough` makes so many; `GRANTS_SEED` chooses others, and `GRANTS_COUNTS`
names a file that is told how far it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.grants_app import run_in_app
from testing.pooler import MISSING, PROGRAM, pooler_before

pytestmark = [pytest.mark.timeout(20_000), pytest.mark.thorough]  # they are off, which test_grants_off.py looks at
CHANGES = int(os.environ.get("GRANTS_CHANGES", "250"))
POOLED = int(os.environ.get("GRANTS_POOLED", "30"))  # changes behind a pooler, in each of its modes
SEED = int(os.environ.get("GRANTS_SEED", "4"))
DOCUMENTS = {"SUPERSET_EXT_GRANTS_DOCUMENTS": "true"}
ATTACK = """
import logging
logging.disable(logging.ERROR)  # each refusal is logged with where it came from
from testing import documents_site, grants_attack, grants_changes
from testing.grants import OTHERS, PEOPLE
documents_site.prepare(world, (*PEOPLE, *OTHERS))
results = {{
    "ways": grants_attack.rights(world, {seed}, {one_by_one}),
    "at once": grants_attack.at_once(world, {seed}, {at_once}),
}}
"""
WITHOUT = """
without, names = grants_attack.without, tuple(grants_attack.DOCUMENTS)
results["without"] = {{
    "marks of documents": without(world, {seed}, 40, "marks of documents", names),
    "marks": without(world, {seed}, 40, "marks", ("json", "form", "saved")),
}}
"""
AWAY = 'results["away"] = grants_changes.away(world, int(os.environ["REDIS_PID"]))\n'


def attack(changes: int) -> str:
    """A script that makes so many changes, a fifth of them by eight writers at once."""
    return ATTACK.format(seed=SEED, one_by_one=changes - changes // 5, at_once=changes // 5)


def check(results: dict[str, Any], changes: int) -> None:
    """Nothing was given that the oracle would not give, and something was given."""
    print(results)
    for name in ("ways", "at once"):
        assert results[name]["wrong"] == []
        assert results[name]["failed"] == {}
        assert results[name]["given"] > 0
        assert results[name]["unknown"] == {}  # else it was no attack: a credential had ended
    assert results["ways"]["changes"] + results["at once"]["changes"] >= changes
    assert results["failures"] == {}


def test_a_few_changes_and_servers_that_are_away(
    postgres: Postgres, fresh_valkey: Callable[..., Valkey], tmp_path: Path
) -> None:
    """Intent: the same with few changes; without Redis, without triggers, and without both it is as ever, and right."""
    server = fresh_valkey()
    results = run_in_app(attack(30) + AWAY, postgres, server, tmp_path, REDIS_PID=str(server.pid), **DOCUMENTS)
    check(results, 30)
    assert {name: answer for name, answer in results["away"].items() if not answer[0]} == {}
    assert {name: answer[1] for name, answer in results["away"].items()} == {
        "Redis": 200, "Redis, role taken": 403, "both": 200, "both, role taken": 403, "neither": 200,
    }  # fmt: skip


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
@pytest.mark.parametrize("mode", ["session", "transaction"])  # by statement Superset itself does not work
def test_a_few_changes_behind_a_pooler(mode: str, postgres: Postgres, shared_valkey: Valkey, tmp_path: Path) -> None:
    """Intent: the same where Superset reaches its metadata database by PgBouncer, and who changes it does not."""
    with pooler_before(postgres, tmp_path / "pooler", mode, default_pool_size=100) as pooler:
        check(run_in_app(attack(POOLED), postgres, shared_valkey, tmp_path, pooler=pooler, **DOCUMENTS), POOLED)


def test_many_changes(postgres: Postgres, shared_valkey: Valkey, tmp_path: Path) -> None:
    """Intent: rights of people, groups, owners, rules, guests, embeddings, boards, databases, in any order.

    Afterwards marks hold for ever, first of documents and then of charts: this is noticed, of either.
    """
    script = attack(CHANGES) + WITHOUT.format(seed=SEED)
    results = run_in_app(script, postgres, shared_valkey, tmp_path, seconds=20_000, **DOCUMENTS)
    check(results, CHANGES)
    assert {fault for fault, noticed in results["without"].items() if not noticed["wrong"]} == set()

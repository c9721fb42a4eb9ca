"""Nobody sees more: an answer is shared by those alone for whom the same SQL would run."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from superset_ext.embedded.postgres import Postgres
from superset_ext.embedded.valkey import Valkey
from testing.superset_app import run

# SHARING_STEPS=10000 and another SHARING_SEED play a longer one.
STEPS, SEED = int(os.environ.get("SHARING_STEPS", "80")), os.environ.get("SHARING_SEED", "1")
pytestmark = pytest.mark.timeout(1800 + STEPS)
SETTINGS = """
from superset_ext.config import *
FEATURE_FLAGS = {**FEATURE_FLAGS, "ENABLE_TEMPLATE_PROCESSING": True, "ALLOW_ADHOC_SUBQUERY": True}
"""
FACTS = """
from testing.sharing import World, extra_keys
from testing.sharing_cases import facts
world = World(app, source)
say({"keys": extra_keys(world), **facts(world)})
"""
COSTS = """
from testing.sharing import World, extra_keys
from testing.sharing_costs import costs, moved
world = World(app, source)
say({"keys": extra_keys(world), "costs": costs(world), "moved": moved(world)})
"""
# What a hit asks of Superset's metadata. Stock asks 18 (21 for "own"), and opens a connection for a virtual dataset.
STATEMENTS = {"plain": 15, "own": 17, "deep1": 20, "deep3": 24, "by_rule": 23, "by_chart": 26}
PLAY = """
from testing.sharing import World
from testing.sharing_cases import interleave
world = World(app, source)
say(interleave(world, int(os.environ["SEED"]), int(os.environ["STEPS"])))
"""


def played(script: str, postgres: Postgres, valkey: Valkey, tmp_path: Path, **env: str) -> Any:
    metadata, source = (postgres.create_database(f"{name}_{uuid.uuid4().hex[:8]}") for name in ("meta", "source"))
    own = {"SUPERSET_EXT_REDIS_URL": valkey.url, "SUPERSET_EXT_RECORDER": "false"}
    return run(script, metadata, source, tmp_path, SETTINGS, 900 + STEPS, **own, **env)


@pytest.mark.thorough
def test_interleavings_have_the_answers_of_no_cache(postgres: Postgres, valkey: Valkey, tmp_path: Path) -> None:
    """Intent: invariant 6; users, rules, edits and requests in random order, Superset without a cache as the oracle."""
    result = played(PLAY, postgres, valkey, tmp_path, SEED=SEED, STEPS=str(STEPS))
    print({name: result[name] for name in ("asked", "hits")})
    assert result["different"] == []
    assert result["errors"] == {}
    assert result["hits"] > result["asked"] / 5


@pytest.fixture(scope="module")
def facts(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What single cases came to, in one process."""
    folder = tmp_path_factory.mktemp("facts")
    result: dict[str, Any] = played(FACTS, postgres, shared_valkey, folder, PYTHONHASHSEED="1")
    return result


def test_a_mutators_comment_is_no_other_answer(facts: dict[str, Any]) -> None:
    """Intent: the most common mutator names the user in a comment; that must not end sharing."""
    assert facts["comment"] == [False, True, True]


def test_a_mutators_predicate_is_the_users_own(facts: dict[str, Any]) -> None:
    """Intent: Superset's key knows nothing of a mutator; each user sees the rows that it leaves them."""
    assert facts["predicate"] == [["u1"], ["u2"], ["u1"]]


def test_what_looks_like_a_comment_in_a_text_counts(facts: dict[str, Any]) -> None:
    """Intent: `'--u1'` and `'--u2'` are two texts, however comments are left out."""
    assert facts["comment in a text"] == [False, False, True]


def test_what_depends_on_nobody_is_shared(facts: dict[str, Any]) -> None:
    """Intent: a dataset without templates or rules has one entry for all."""
    assert facts["without jinja"] == [False, True, True]


def test_a_subquery_in_a_filter_has_the_rules_of_its_table(facts: dict[str, Any]) -> None:
    """Intent: rules are put into ad-hoc subqueries too, and Superset's key has none of that."""
    assert facts["subquery"] == [["u1"], ["u2"], ["u3"]]


def test_a_nested_dataset_that_a_user_may_not_read(facts: dict[str, Any]) -> None:
    """Intent: without a cache Superset refuses the macro; somebody else's answer changes nothing in that."""
    allowed, denied, again = facts["denied"]
    assert (allowed, again) == (["u3"], ["u3"])
    assert isinstance(denied, str)


def test_an_annotation_chart_that_a_user_may_not_read(facts: dict[str, Any]) -> None:
    """Intent: likewise."""
    allowed, denied, again = facts["denied layer"]
    assert isinstance(allowed, list) and isinstance(again, list)
    assert isinstance(denied, str)


def test_one_clause_on_two_tables_is_two_answers(facts: dict[str, Any]) -> None:
    """Intent: Superset's key has the rules of the tables in a dataset's SQL, but not on which table each is."""
    cached, right = facts["clauses"]
    assert cached == right
    assert right[0] != right[1]


def test_a_query_of_sql_lab_as_a_dataset(facts: dict[str, Any]) -> None:
    """Intent: the rules of its tables apply to each who asks, and Superset's key of such a query has none of them."""
    assert facts["of sql lab"] == [["u1"], ["u2"], ["u3"]]


def test_a_limited_series_where_the_engine_cannot_join(facts: dict[str, Any]) -> None:
    """Intent: the groups are a query of their own there, which the key does not have; so the key is the user's own."""
    assert facts["limited"] == [True, False]


@pytest.fixture(scope="module")
def reads(postgres: Postgres, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What hits ask, and what they are when the source's default schema moves."""
    folder = tmp_path_factory.mktemp("costs")
    result: dict[str, Any] = played(COSTS, postgres, shared_valkey, folder, PYTHONHASHSEED="2")
    return result


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_hit_opens_no_connection_and_asks_little(reads: dict[str, Any], name: str) -> None:
    """Intent: what decides who may share an answer is told by few statements on the metadata, never by the source."""
    asked = reads["costs"][name]
    assert asked["hit"]
    assert asked["connections"] == 0
    assert asked["statements"] <= STATEMENTS[name]


def test_a_default_schema_that_moved(reads: dict[str, Any]) -> None:
    """Intent: an answer whose key was made of the former default schema is stored for nobody."""
    moved = reads["moved"]
    assert moved["before"] == ["u1", "u2", "u3"]
    assert moved["cached"] == moved["right"]
    assert moved["right"][0] != moved["right"][1]


def test_processes_agree_on_keys(facts: dict[str, Any], reads: dict[str, Any]) -> None:
    """Intent: Superset orders part of a key by the hash seed of its process; what a worker warms, the web must find."""
    assert facts["keys"] == reads["keys"]
    assert len(facts["keys"]["several"][0]) > 2

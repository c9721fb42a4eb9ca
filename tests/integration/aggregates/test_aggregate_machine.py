"""Aggregates under random steps of many at once; `AGGREGATE_STEPS` and `AGGREGATE_SEED` make more and other ones."""

from __future__ import annotations

import inspect
import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest

from superset_ext.aggregates.tables import adding, catalogue, notes, parts, refreshing, renewing
from superset_ext.embedded.postgres import Postgres
from testing.aggregate_machine import Machine
from testing.aggregate_tables import run
from testing.databases import postgres_in, quick_folder

STEPS = int(os.environ.get("AGGREGATE_STEPS", "60"))
SEED = int(os.environ.get("AGGREGATE_SEED", "1"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of its own, since it takes prepared transactions, with which no table can be watched. Nothing but the
    steps happens on it, so that a seed always does the same."""
    own = tmp_path_factory.mktemp("machine")
    with quick_folder(own) as folder, postgres_in(folder, max_prepared_transactions="8", autovacuum="off") as made:
        yield made


@pytest.fixture
def own_url(server: Postgres) -> str:
    """A database of it."""
    return server.create_database(f"machine_{uuid.uuid4().hex[:8]}")


def test_what_calls_itself_exact_is_exact_in_every_snapshot(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: overlapping transactions, DDL, killed refreshes and old snapshots never leave an aggregate that says that
    it is exact and is not; and once nobody writes any more, all are. Many groups count from four on, so that they are
    changed in their places and beside."""
    monkeypatch.setattr(renewing, "BESIDE_LEAST", 4)
    with closing(Machine(own_url, SEED)) as machine:
        machine.go(STEPS)


_READ = 'path.read_text(encoding="utf-8")'
# After some steps all is made anew, which hides what was added up wrongly.
_ADDING = dict.fromkeys(
    ("truncate", "attach", "swap", "written_anew", "retyped", "repeatable", "open_old", "prepare"), 0
)
# A fault that is planted: a text of a module, what it is replaced by, and the steps that are not as likely as usual.
FAULTS: dict[str, tuple[ModuleType, str, str, str, dict[str, int]]] = {
    "rows as they were before are forgotten": (notes, "_FUNCTION", "INTO STRICT superset_ext_before FROM old_rows AS t",
                                               "INTO STRICT superset_ext_before FROM old_rows AS t WHERE false",
                                               _ADDING),
    "one row is noted twice": (notes, "_FUNCTION", "VALUES (superset_ext_after.*) RETURNING",
                               "VALUES (superset_ext_after.*); INSERT INTO {note} VALUES"
                               " (superset_ext_after.*) RETURNING", _ADDING),
    "what went is added": (parts, "of_many", "-) pg", "+) pg", _ADDING),
    "a sum has no sign": (parts, "of_one", "-) (", "+) (", _ADDING),
    "an extreme that is gone is kept": (adding, "_unsure", '"<="', '"<"', _ADDING),
    "what took and brought an extreme is never asked": (adding, "_of_notes", "NOT {made_good}", "false", _ADDING),
    "a group is taken for replaced that is not": (adding, "_REPLACED", "d.notes = 1 AND ", "", {}),
    "rows of another part are added": (adding, "_joined", "d.is_around", "false", {}),
    "what all was made anew of is added again": (adding, "taken", "if notes:", "if notes and not whole:", {}),
    "a sum of nothing is 0": (adding, "_unsure", "= 0", "= -1", _ADDING),
    "that nothing is noted is not seen": (catalogue, "files", _READ, _READ + '.replace(" AND noting.is_on", "")'
                                          '.replace(" || max(noting.version)", "")', {}),
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(own_url: str, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Intent: the steps find each kind of wrong upkeep."""
    module, name, right, wrong, weights = FAULTS[fault]
    plant(monkeypatch, module, name, right, wrong)
    with closing(Machine(own_url, SEED, weights)) as machine, pytest.raises(AssertionError, match=f"seed {SEED}"):
        machine.go(max(STEPS, 3000))


def test_that_notes_are_rounded_is_found(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a read finds notes that kept the type which a column had before; few random steps lead there."""
    plant(monkeypatch, refreshing, "_mend", "notes.renew(cursor, one.definition)", "pass")
    with closing(Machine(own_url, SEED)) as machine:
        machine.definitions = {"plain_of_all": machine.definitions["plain_of_all"]}
        for change in (
            "ALTER TABLE plain ALTER amount TYPE numeric(12, 2)",
            "INSERT INTO plain (amount) VALUES (0.25)",
        ):
            machine.read()
            run(machine.aside, change)
            refreshing.refresh(machine.upkeep, "plain_of_all")
        with pytest.raises(AssertionError, match="called itself exact"):
            machine.read()


def plant(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, right: str, wrong: str) -> None:
    """Replace a piece of a text, or of a function's source, until the test ends."""
    old = getattr(module, name)
    source = old if isinstance(old, str) else inspect.getsource(old)
    assert right in source
    faulty = source.replace(right, wrong)
    if isinstance(old, str):
        monkeypatch.setattr(module, name, faulty)
        return
    made: dict[str, Any] = {}
    exec(compile(f"from __future__ import annotations\n{faulty}", "planted", "exec"), made)
    monkeypatch.setattr(old, "__code__", made[name].__code__)  # whoever has imported it has it too

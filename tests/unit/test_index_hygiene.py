"""Which indexes could go, and which never may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superset_ext.plans.indexes.catalog import Existing
from superset_ext.plans.indexes.hygiene import needless, too_young
from superset_ext.plans.indexes.index import Index, Key, TableName

TABLE = TableName("public", "t")


def existing(name: str, columns: str, scans: int = 5, days: float | None = 90.0, **values: object) -> Existing:
    """A valid index on columns of a letter each."""
    index = Index(TABLE, tuple(map(Key, columns)))
    text = f"CREATE INDEX {name} {index.definition}"
    return replace(Existing(name, TABLE, index, text, 8192, True, False, scans, days), **values)  # type: ignore[arg-type]


def kinds(*indexes: Existing) -> dict[str, str]:
    return {item.existing.name: item.kind for item in needless(indexes)}


def test_each_index_that_could_go_says_why() -> None:
    """Intent: broken, doubled, contained and unread indexes are told, each for one reason, and of two equals one."""
    assert kinds(
        existing("unread", "z", scans=0), existing("broken", "y", valid=False), existing("one", "ab"),
        existing("two", "ab"), existing("short", "a"), existing("used", "c"),
    ) == {"unread": "unused", "broken": "invalid", "one": "duplicate", "short": "redundant"}  # fmt: skip


@pytest.mark.parametrize("values", [{"scans": 0}, {"valid": False}, {}])
def test_what_guards_data_never_goes(values: dict[str, object]) -> None:
    """Intent: unique indexes, constraints and replica identities are no matter of scans."""
    assert kinds(existing("guard", "a", constrains=True, **values), existing("longer", "ab")) == {}  # type: ignore[arg-type]


def test_the_one_that_guards_stays_and_its_double_goes() -> None:
    """Intent: an index beside a primary key on the same column is the one to drop, whichever comes first."""
    for indexes in ([existing("pk", "a", constrains=True), existing("more", "a")],
                    [existing("more", "a"), existing("pk", "a", constrains=True)]):  # fmt: skip
        assert kinds(*indexes) == {"more": "duplicate"}


def test_young_statistics_tell_no_unused_index() -> None:
    """Intent: what is read once a month is not dropped for a week without a scan; that nothing is told is told."""
    young = existing("unread", "z", scans=0, days=8.0)
    assert kinds(young) == {}
    assert [line for line in too_young([young]) if "8 days old" in line]
    assert kinds(existing("unread", "z", scans=0, days=None)) == {}
    assert not list(too_young([existing("a", "a")]))


def test_an_index_that_is_being_built_is_left_alone() -> None:
    """Intent: CREATE INDEX CONCURRENTLY leaves it invalid until it ends, which is nobody's mistake."""
    assert kinds(existing("coming", "a", valid=False, building=True)) == {}


def test_a_partial_or_included_index_makes_no_whole_one_needless() -> None:
    """Intent: an index goes only where another one answers everything that it answers."""
    partial = replace(existing("part", "ab"), index=Index(TABLE, (Key("a"), Key("b")), where="c IS NULL"))
    assert kinds(existing("whole", "a"), partial) == {}
    covering = replace(existing("cover", "a"), index=Index(TABLE, (Key("a"),), ("d",)))
    assert kinds(covering, existing("long", "ab")) == {}


@pytest.mark.parametrize("name", ["plain", '"a ON b"', '"says "" ON "" twice"', '" INDEX "'])
def test_a_name_misleads_nobody(name: str) -> None:
    """Intent: two indexes are alike by all but their names, whatever is in these; and no name makes two alike."""
    assert kinds(existing("one", "a"), existing(name, "a")) == {"one": "duplicate"}
    trap = existing(f'"x ON {TABLE} USING btree (a)"', "b")
    assert kinds(existing(name, "a"), trap) == {}

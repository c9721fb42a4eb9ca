"""What optimizers got wrong when they answered from small tables: a table of landings at a harbour, and how a case is
tried on a real engine. The cases are in `testing.aggregate_fault_values` and `_forms`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from superset_ext.aggregates.lookup import Lookup
from superset_ext.aggregates.match import Match
from superset_ext.aggregates.needs import needs
from superset_ext.aggregates.over import EXACT, Allowed
from superset_ext.plans.rewrite.facts import Facts
from testing.aggregates import Engine, built, differs, in_order, read
from testing.rewrites import shown

ZONES = ("UTC", "America/New_York")
# A week that lies in two months, a group that has only NULL, one that has none of what is asked for, NULL keys, sums
# that are 0, the last moment of a day, equal values that look different, and sums that depend on their order.
LANDINGS = """
CREATE TABLE landings (
    id int PRIMARY KEY, port text, boat text, pier {char}, landed timestamp, day date,
    seen timestamptz, crates int, extra smallint, price numeric(10, 2), weight numeric{scale}, share float8,
    fresh boolean
);
INSERT INTO landings VALUES
(1, 'a', 'Elsa', 'p', '2024-01-29 08:00:00', '2024-01-29', '2024-01-29 03:30:00+00', 3, 1, 1.25, 1.0, 1e16, true),
(2, 'a', 'Elsa', 'p', '2024-02-01 09:30:00', '2024-02-01', '2024-02-01 23:30:00+00', 5, NULL, 2.50, 1.00, 1, true),
(3, 'a', 'Nora', 'q', '2024-02-02 23:59:59.999999', '2024-02-02', '2024-02-03 04:59:59+00', NULL, 2, 1.25, 2,
 -1e16, false),
(4, 'b', 'Elsa', 'q', '2024-02-01 00:00:00', '2024-02-01', '2024-02-01 02:00:00+00', 7, 30000, NULL, 2.5, 0.1, NULL),
(5, 'b', NULL, NULL, '2024-03-04 12:00:00', '2024-03-04', '2024-03-10 07:00:00+00', 3, 30000, 3.75, NULL, 0.2, false),
(6, 'b', 'Ida', 'p', NULL, NULL, NULL, -1, 30000, 0.00, 0.0, 0.3, true),
(7, 'c', NULL, 'p ', '2024-02-01 18:00:00', '2024-02-01', '2024-02-01 18:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL),
(8, 'c', NULL, 'r', '2024-12-30 00:00:00', '2024-12-30', '2024-12-30 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL),
(9, NULL, 'Ida', 'r', '2023-12-31 23:00:00', '2023-12-31', '2023-12-31 23:00:00+00', 4, -1, 9.99, 100, 0.0, false),
(10, NULL, NULL, 'r', '2024-02-01 00:00:00', '2024-02-01', '2024-02-01 00:00:00+00', 4, 0, 0.01, 1e-20, NULL, true),
(11, 'a', 'Elsa', 'p', '2024-02-02 10:00:00', '2024-02-02', '2024-02-02 10:00:00+00', 3, 1, 1.25, 1.0, 0.0, true);
UPDATE landings SET share = '-0' WHERE id = 8;
UPDATE landings SET share = 'NaN' WHERE id = 10
"""
OTHERS = """
CREATE TABLE crews (boat text, sailor text);
INSERT INTO crews VALUES ('Elsa', 'An'), ('Elsa', 'Bo'), ('Ida', 'Cy');
CREATE TABLE grades (grade text COLLATE {collation});
INSERT INTO grades VALUES ('x'), ('X'), ('y'), (NULL), ('z'), ('w'), ('W'), ('x')
"""


@dataclass(frozen=True)
class Case:
    """Something that an optimizer answered wrongly.

    Attributes:
        kind: what it had overlooked.
        source: where such a fault was reported; empty: we thought of it.
        views: what aggregates are made for, the smallest first.
        query: what is asked.
        wrong: what was sent instead, or what would be: over the first aggregate, which is called `agg_0`; it has to
            give something else, or the case would show nothing. Empty where it failed, or was right by chance.
        refused: a part of our reason; empty: we answer.
        duckdb: the same on DuckDB, where that is another one; `-`: there is no such statement.
        zone: of the session that asks; aggregates are made in UTC.
        unsure: rows tie where a LIMIT cuts, which we see in what comes back.
        collated: it is only so where the server has a collation to which texts that differ are equal.
    """

    kind: str
    source: str
    views: tuple[str, ...]
    query: str
    wrong: str = ""
    refused: str = ""
    duckdb: str | None = None
    allowed: Allowed = EXACT
    zone: str = "UTC"
    unsure: bool = False
    collated: bool = False

    def expected(self, engine: Engine) -> str:
        """A part of our reason there; empty: we answer."""
        if self.collated and engine.collation == '"C"':
            return ""
        return self.refused if self.duckdb is None or engine.name == "postgresql" else self.duckdb


def fill(engine: Engine) -> None:
    """Make the tables."""
    is_postgresql = engine.name == "postgresql"
    char, scale = ("char(2)", "") if is_postgresql else ("varchar", "(38, 20)")
    for statement in (LANDINGS + ";" + OTHERS).split(";"):
        engine.run(statement.format(collation=engine.collation, char=char, scale=scale))
    if is_postgresql:  # where names that differ by case are two
        engine.run('ALTER TABLE landings ADD "Port" text; UPDATE landings SET "Port" = NULLIF(\'b\', port)')


def tried(case: Case, engine: Engine) -> str:
    """What is not as it has to be; empty: nothing."""
    expected = case.expected(engine)
    if expected == "-":
        return ""
    engine.zone("UTC")
    facts = engine.facts()
    names = enumerate(case.views)
    views = [built(engine, needs(read(sql, facts), "UTC").view(f"agg_{number}")) for number, sql in names]
    engine.zone(case.zone)
    answer = Lookup(views, facts.engine).answer(case.query, replace(case.allowed, zone=case.zone))
    stock = engine.run(case.query)
    is_shown = not (case.collated and not expected)
    if case.wrong and is_shown and not differs(stock[1], engine.run(case.wrong)[1], case.allowed):
        return "what was wrong elsewhere is right here: the rows do not show the fault"
    if not isinstance(answer, Match):
        return "" if expected and expected in answer.reason else f"it is refused: {answer.reason}"
    if expected:
        return f"it is answered: {answer.sql}"
    return _compared(case, engine, facts, answer, stock)


def _compared(
    case: Case, engine: Engine, facts: Facts, answer: Match, stock: tuple[list[object], list[Sequence[object]]]
) -> str:
    types, rows = engine.run(answer.sql)
    shape = read(case.query, facts)
    if case.unsure or (answer.below is not None and len(rows) >= answer.below):
        is_seen = answer.below is not None and len(rows) >= answer.below
        return "" if is_seen and case.unsure else "rows tie where the LIMIT cuts, and that is not seen, or they do not"
    if types != stock[0]:
        return f"other types: {stock[0]} became {types}"
    if difference := differs(stock[1], rows, case.allowed):
        return f"{difference} by {answer.sql}"
    is_same = not shape.order or in_order(stock[1], shape, shown) == in_order(rows, shape, shown)
    return "" if is_same else "another order"

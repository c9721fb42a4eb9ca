"""Names of tables as one text, and generated queries with the tables that they read."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from superset_ext.sqltables.table import Table

PG, MY, SF, BQ, TR, MS, CH, LITE, ORA, DUCK, HIVE = (
    "postgresql", "mysql", "snowflake", "bigquery", "trino", "mssql", "clickhouse", "sqlite", "oracle", "duckdb",
    "hive",
)  # fmt: skip


def tables(names: str) -> frozenset[Table]:
    """`a, s.b` as tables."""
    return frozenset(Table(*("." + name).rsplit(".", 2)[-2:]) for name in names.split(", ") if name)


@dataclass
class Query:
    """A query that was made up.

    Attributes:
        sql: its text.
        tables: what it reads.
        double: whether a WITH stands before a WITH.
    """

    sql: str
    tables: set[str] = field(default_factory=set)
    double: bool = False

    def __add__(self, other: Query) -> Query:
        return Query(f"{self.sql} {other.sql}", self.tables | other.tables, self.double or other.double)

    def within(self, before: str, after: str) -> Query:
        return Query(before + self.sql + after, self.tables, self.double)


NAMES = ("orders", "users", "items")


@dataclass
class Maker:
    """Makes queries over the tables `NAMES`, and of CTEs that may be called the same; all have one column, `a`."""

    draw: st.DrawFn
    recursion: bool = True

    def chance(self) -> bool:
        return bool(self.draw(st.integers(0, 2)) == 0)

    def name(self) -> str:
        return self.draw(st.sampled_from((*NAMES, "x")))

    def source(self, known: frozenset[str], depth: int) -> Query:
        """A name, a qualified name, or a query in parentheses."""
        if depth and self.chance():
            return self.query(known, depth - 1).within("(", ")")
        name = self.draw(st.sampled_from((*NAMES, *sorted(known))))
        if name in NAMES and self.chance():
            return Query(f"public.{name}", {f"public.{name}"})
        return Query(name, set() if name in known else {name})

    def select(self, known: frozenset[str], depth: int) -> Query:
        made = Query("SELECT q0.a")
        made += Query("FROM") + self.source(known, depth).within("", " AS q0")
        if self.chance():
            made += self.source(known, depth).within("JOIN ", " AS q1 ON q0.a = q1.a")
        if depth and self.chance():
            kind = self.draw(st.sampled_from(("q0.a IN (", "EXISTS (", "q0.a < (SELECT max(q2.a) FROM (")))
            made += self.query(known, depth - 1).within(f"WHERE {kind}", ") AS q2)" if "max" in kind else ")")
        return made

    def query(self, known: frozenset[str], depth: int) -> Query:
        kind = self.draw(st.sampled_from(("select", "union", "with", "recursive"))) if depth else "select"
        if kind == "union":
            word = self.draw(st.sampled_from(("UNION ALL", "EXCEPT")))
            left, right = (self.query(known, depth - 1).within("(", ")") for _ in range(2))
            return left.within("", f" {word}") + right
        if kind == "with":
            return self.with_(known, depth)
        return self.recursive(known, depth) if kind == "recursive" and self.recursion else self.select(known, depth)

    def with_(self, known: frozenset[str], depth: int) -> Query:
        ctes = []
        for name in dict.fromkeys((self.name(), self.name())):
            ctes.append(self.query(known, depth - 1).within(f"{name} AS (", ")"))
            known |= {name}
        body = self.query(known, depth - 1)
        made = ctes[0] if len(ctes) == 1 else ctes[0].within("", ",") + ctes[1]
        return self.headed(made.within("WITH ", ""), body)

    def recursive(self, known: frozenset[str], depth: int) -> Query:
        name = self.name()
        first = Query("(SELECT q0.a FROM public.orders AS q0)", {"public.orders"})
        step = self.source(known - {name}, 0) if known - {name} else Query("public.users", {"public.users"})
        if step.sql == name:
            step = Query(f"public.{name}", {f"public.{name}"})
        step = step.within(f"(SELECT q0.a FROM {name} AS q0 JOIN ", " AS q1 ON q0.a = q1.a)")
        made = (first.within("", " UNION ALL") + step).within(f"WITH RECURSIVE {name} AS (", ")")
        return self.headed(made, self.query(known | {name}, depth - 1))

    def headed(self, head: Query, body: Query) -> Query:
        made = head + body
        # `WITH … (WITH … SELECT …)` is what sqlglot loses a part of; PostgreSQL wants the parentheses.
        return (head + body.within("(", ")")) if body.sql.startswith("WITH") else made

    def whole(self) -> Query:
        made = self.query(frozenset(), 3)
        made.double = ") (WITH " in made.sql
        return made


@st.composite
def queries(draw: st.DrawFn, recursion: bool = True) -> Query:
    """Queries with every kind of scope in them."""
    return Maker(draw, recursion).whole()

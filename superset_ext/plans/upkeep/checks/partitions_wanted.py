"""Large tables that would be better divided by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from superset_ext.plans.upkeep.check import OLDEST, Check, Finding, Row, Severity, Verdict

KIND = "partitions_wanted"
LEAST_BYTES = 10 * 2**30
ORDER = 0.9
UPDATED = 0.1  # of the rows that were added
_GIBI = 2**30


def judge(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Tables of 10 GiB or more that grow in the order of a date or time, each by the column that fits best."""
    seen: set[str] = set()
    for row in rows:
        if row["relation"] in seen or row["bytes"] < LEAST_BYTES or row["order_on_disk"] < ORDER:
            continue
        if row["updated"] > max(row["inserted"], row["rows"]) * UPDATED:
            continue
        seen.add(row["relation"])
        yield Finding(
            KIND, Severity.NOTICE, row["relation"],
            f"{row['relation']} has {row['bytes'] / _GIBI:,.1f} GiB in one piece, and its rows lie in the order of "
            f"{row['column_name']} ({row['order_on_disk']:.2f}).",
            {"bytes": row["bytes"], "rows": row["rows"], "order_on_disk": row["order_on_disk"]},
            f"If charts filter by {row['column_name']}, divide the table by it: they then read the parts that they "
            "need, and old parts are detached rather than deleted. A BRIN index on it costs less and helps them too.",
            f"CREATE INDEX CONCURRENTLY ON {row['relation']} USING brin ({row['column_name']})",
        )  # fmt: skip


CHECK = Check(KIND, judge, {OLDEST: "upkeep_partitions_wanted"})

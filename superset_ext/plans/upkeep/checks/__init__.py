"""The checks, in their order. A check is a file: the query's name, and a function from its rows to findings."""

from __future__ import annotations

from superset_ext.plans.upkeep.check import Check
from superset_ext.plans.upkeep.checks import (
    autovacuum_behind,
    cache_hits,
    checkpoints,
    connections,
    constraints,
    index_bloat,
    locks,
    long_transactions,
    memory,
    partitions_missing,
    partitions_wanted,
    replication,
    sequences,
    settings,
    statistics_missing,
    statistics_old,
    statistics_skewed,
    table_bloat,
    wraparound,
)  # fmt: skip

CHECKS: tuple[Check, ...] = tuple(
    module.CHECK for module in (
        wraparound, sequences, locks, connections, partitions_missing, replication, long_transactions,
        autovacuum_behind, statistics_missing, statistics_old, statistics_skewed, index_bloat, table_bloat, settings,
        memory, checkpoints, cache_hits, partitions_wanted, constraints,
    )
)  # fmt: skip

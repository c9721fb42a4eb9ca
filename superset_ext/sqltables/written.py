"""What a piece of SQL writes, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from superset_ext.sqltables.table import Table


@dataclass(frozen=True, slots=True)
class Written:
    """What a piece of SQL writes.

    Attributes:
        tables: that have other rows, or another shape, than before.
        schema_change: whether one of them was made, dropped, renamed or altered.
        rows: those of the tables whose rows were changed, so that triggers, rules and foreign keys may have acted.
        calls: names that may be those of functions that it calls, in lower case.
        is_ambiguous: whether a name without schema may have meant several tables, one after the other, on a search
            path with several schemas.
        is_kept: whether it does more than to read, so that what a function has written is committed.
    """

    tables: frozenset[Table]
    schema_change: bool
    rows: frozenset[Table] = field(default=frozenset(), compare=False)
    calls: frozenset[str] = field(default=frozenset(), compare=False)
    is_ambiguous: bool = field(default=False, compare=False)
    is_kept: bool = field(default=False, compare=False)

    def __or__(self, other: Written) -> Written:
        """What two pieces write together."""
        return Written(
            self.tables | other.tables,
            self.schema_change or other.schema_change,
            self.rows | other.rows,
            self.calls | other.calls,
            self.is_ambiguous or other.is_ambiguous,
            self.is_kept or other.is_kept,
        )

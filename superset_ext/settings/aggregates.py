"""Aggregates: whose charts may be answered from one, and what such an answer may differ by."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from superset_ext.settings.probes import NameOrId
from superset_ext.settings.values import PARSED_JSON, Record

_Pattern = Annotated[str, Field(min_length=1)]


class AggregateRule(Record):
    """Whether some charts may be answered from aggregates. Of several, the first that matches says it.

    Attributes:
        dataset: its id in Superset, or a pattern with `*` and `?` for its name, as in `public.sales_*`.
        database: a pattern for the name of its database.
        use: false for datasets that a later rule would name, and that are left alone.
        floats: sums of floating point numbers may differ in their last digits.
        ties: where rows tie at a LIMIT, others of them may be left out.
        loose: of several values that are equal another one may be shown, as 1.0 for 1.00.
        stale_seconds: how old what an aggregate holds may be; 0: only what is exact at that moment.
    """

    dataset: NameOrId | None = None
    database: _Pattern | None = None
    use: bool = True
    floats: bool = False
    ties: bool = False
    loose: bool = False
    stale_seconds: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _named(self) -> AggregateRule:
        if self.dataset is None and self.database is None:
            raise ValueError('names neither a dataset nor a database; write "dataset": "*" for all')
        return self


AggregateRules = Annotated[tuple[AggregateRule, ...], PARSED_JSON]

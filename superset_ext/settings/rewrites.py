"""Rewrites: whose charts may be answered by another text of their statement, and by which rules."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from superset_ext.settings.probes import NameOrId
from superset_ext.settings.values import PARSED_JSON, Record

RewriteRule = Literal["unneeded_order", "moment_as_constant", "extract_range", "integer_as_text", "integer_as_decimal"]
REWRITE_RULES: tuple[RewriteRule, ...] = get_args(RewriteRule)
_Pattern = Annotated[str, Field(min_length=1)]


class Rewrite(Record):
    """By which rules the statements of some charts may be rewritten. Of several, the first that matches says it.

    Attributes:
        dataset: its id in Superset, or a pattern with `*` and `?` for its name, as in `public.sales_*`.
        database: a pattern for the name of its database.
        rules: all five where they are not named; none with an empty list.
    """

    dataset: NameOrId | None = None
    database: _Pattern | None = None
    rules: tuple[RewriteRule, ...] = REWRITE_RULES

    @model_validator(mode="after")
    def _named(self) -> Rewrite:
        if self.dataset is None and self.database is None:
            raise ValueError('names neither a dataset nor a database; write "dataset": "*" for all')
        return self


Rewrites = Annotated[tuple[Rewrite, ...], PARSED_JSON]

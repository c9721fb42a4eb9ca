"""Rules: how long answers live."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from superset_ext.settings.values import PARSED_JSON, Name, Record, refuse_duplicates

Operation = Literal["user_action", "schema_change", "data_update"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
Strategy = Literal["time", "event", "usage"]


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression ({error})") from None
    return value


class Rule(Record):
    """How long answers live that are asked of a dataset, a database, a table, or with some SQL.

    `time` is the default: an answer is fresh for `timeout` seconds (3600), and served for `grace` more while one worker
    refreshes it. `event`: it lives for `timeout` seconds (a day), and goes when something of `invalidate_on` happens.
    `usage`: it lives for `timeout` seconds (what Superset asks for), but goes after `max_age` seconds (7200) if it was
    read less than `min_hits` times (5) until then, and is not warmed again after a change.
    """

    name: Name
    dataset: int | str | None = None
    database: str | None = None
    table: str | None = None
    sql: Annotated[str, AfterValidator(_regular_expression)] | None = None
    strategy: Strategy = "time"
    timeout: int | None = Field(None, ge=0)
    grace: float | None = Field(None, ge=0)
    invalidate_on: tuple[Operation, ...] | None = None
    max_age: int | None = Field(None, ge=1)
    min_hits: int | None = Field(None, ge=1)
    cache: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if self.dataset is None and self.database is None and self.table is None and self.sql is None:
            raise ValueError("matches everything; name a dataset, a database, a table or sql")
        if self.strategy == "event" and not self.invalidate_on:
            raise ValueError(
                "has the strategy event and no invalidate_on; name user_action, schema_change or data_update"
            )
        if self.strategy != "usage" and (self.max_age is not None or self.min_hits is not None):
            raise ValueError("has max_age or min_hits, which only the strategy usage reads; leave them out")
        return self


def _named_once(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    refuse_duplicates((rule.name for rule in rules), "rule")
    return rules


Rules = Annotated[tuple[Rule, ...], PARSED_JSON, AfterValidator(_named_once)]

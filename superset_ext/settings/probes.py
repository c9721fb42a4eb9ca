"""Probes: questions to sources whether data changed."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from superset_ext.settings.values import PARSED_JSON, Record

_PART = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')
_TABLE_NAME = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern})){{0,2}}")


def _name_or_id(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError('is neither a name nor an id; write "examples", or 1')
    return value


def _table_name(value: str) -> str:
    if not _TABLE_NAME.fullmatch(value):
        raise ValueError(
            f"is not the name of a table ({value!r}); write schema.table, and a part that has a dot in double quotes"
        )
    return value


NameOrId = Annotated[int | str, BeforeValidator(_name_or_id)]
TableName = Annotated[str, AfterValidator(_table_name)]
ProbeMethod = Literal["auto", "statistics", "max", "count"]


class Probe(Record):
    """A question to a source whose answer stays the same while the data does.

    `auto` is the largest value of `column` where one is named, else PostgreSQL's statistics, else the number of rows.
    """

    database: NameOrId  # of Superset
    table: TableName | None = None
    dataset: NameOrId | None = None  # of Superset; a name is schema.name
    sql: Annotated[str, Field(min_length=1)] | None = None
    column: Annotated[str, Field(min_length=1)] | None = None
    method: ProbeMethod = "auto"
    every: float = Field(60, ge=5)  # seconds
    patience: float = Field(300, ge=0)  # seconds that it may fail before its charts go to the database
    timeout: float = Field(10, gt=0, le=600)  # seconds

    @field_validator("dataset")
    @classmethod
    def _table_or_dataset(cls, value: int | str | None, info: ValidationInfo) -> int | str | None:
        if (value is None) == (info.data.get("table") is None) and "table" in info.data:
            raise ValueError("and table: name exactly one of them")
        return value

    @field_validator("method")
    @classmethod
    def _one_question(cls, value: ProbeMethod, info: ValidationInfo) -> ProbeMethod:
        sql, column = info.data.get("sql"), info.data.get("column")
        if sql is not None and (column is not None or value != "auto"):
            raise ValueError("and column repeat what sql says; leave them out, or sql")
        if value == "max" and column is None:
            raise ValueError("is max, which needs a column that grows, such as updated_at")
        if value in ("statistics", "count") and column is not None:
            raise ValueError(f"is {value}, which reads no column; leave column out, or write max")
        return value

    @property
    def name(self) -> str:
        """How messages name it, as in `examples: public.sales`."""
        return f"{self.database}: {self.table if self.dataset is None else f'dataset {self.dataset}'}"

    @property
    def key(self) -> str:
        """Which question it is, and how it is asked: 32 hexadecimal characters."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:32]

    def place(self) -> tuple[str, str, str]:
        """Catalog, schema and name of the table; a part that `table` leaves out is `""`."""
        parts = [quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(self.table or "")]
        catalog, schema, name = [""] * (3 - len(parts)) + parts
        return catalog, schema, name


def _asked_once(probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
    if len({probe.key for probe in probes}) != len(probes):
        raise ValueError("has a probe twice; leave one out")
    return probes


Probes = Annotated[tuple[Probe, ...], PARSED_JSON, AfterValidator(_asked_once)]

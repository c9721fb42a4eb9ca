"""What else charts ask that is like a statement, by the query log of the last week."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from superset_ext.core.sql_folder import query_text

_AFTER_WHERE = ("GROUP BY ", "HAVING ", "WINDOW ", "ORDER BY ", "LIMIT ", "OFFSET ", "FETCH ", "UNION ", "EXCEPT ",
                "INTERSECT ")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks a dataset, and who asks nearly the same of it, in a week.

    Attributes:
        charts, seconds: that asked anything of the dataset, and what the source took for it.
        alike, alike_charts, alike_seconds: statements that differ from this one in their outermost WHERE alone, itself
            among them; the charts that asked these, and what the source took.
    """

    charts: int = 0
    seconds: float = 0.0
    alike: int = 1
    alike_charts: int = 0
    alike_seconds: float = 0.0


def asked_beside(cursor: Any, database_id: int, dataset_id: int | None, text: str) -> Asked | None:
    """What is asked beside a statement; `None` where no dataset was asked.

    Args:
        cursor: of the log database.
        database_id, dataset_id: Superset's.
        text: the statement without its values.
    """
    if dataset_id is None:
        return None
    cursor.execute(query_text("statements_of_dataset"), {"database_id": database_id, "dataset_id": dataset_id})
    names = [column[0] for column in cursor.description]
    return counted([dict(zip(names, row, strict=True)) for row in cursor.fetchall()], text)


def counted(rows: Iterable[Mapping[str, Any]], text: str) -> Asked:
    """What a dataset's statements of a week come to, beside one of them."""
    rows, family = list(rows), without_where(text)
    alike = [row for row in rows if without_where(row["sql"] or "") == family]
    return Asked(
        charts=len(_charts(rows)), seconds=sum(row["seconds"] for row in rows),
        alike=len({text, *(row["sql"] for row in alike)}), alike_charts=len(_charts(alike)),
        alike_seconds=sum(row["seconds"] for row in alike),
    )  # fmt: skip


def _charts(rows: Iterable[Mapping[str, Any]]) -> set[int]:
    return {chart for row in rows for chart in row["charts"] or ()}


def without_where(text: str) -> str:
    """A statement of the log without its outermost WHERE.

    In a statement without values, a parenthesis or a word stands in no string; in a quoted name it may.
    """
    start = _at_top(text, ("WHERE ",), 0)
    if start is None:
        return text
    end = _at_top(text, _AFTER_WHERE, start)
    return text[:start] + (text[end:] if end is not None else "")


def _at_top(text: str, words: tuple[str, ...], start: int) -> int | None:
    """Where one of some words first stands that is in no parenthesis and no quotes."""
    depth, quoted = 0, False
    for place, letter in enumerate(text):
        quoted ^= letter == '"'
        if quoted:
            continue
        depth += (letter == "(") - (letter == ")")
        begins = depth == 0 and place >= start and text[place - 1 : place] in ("", " ", ")")
        if begins and text[place : place + 10].upper().startswith(words):
            return place
    return None

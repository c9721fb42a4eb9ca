"""What statements would cost with indexes that are not there, by hypopg, in one connection of the source.

Everything happens within a transaction that may only read, and nothing is made on the source: no function, no table, no
index. An anonymous block takes many questions as JSON and leaves its answers in a setting of the transaction, so that a
step of the search takes one round trip. hypopg's indexes lie in the memory of the session, and go with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from superset_ext.core.sql_folder import query_text
from superset_ext.plans.indexes.index import quoted

_EXTENSION = """
SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'hypopg'
"""
_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'"
_GENERIC_SINCE = 160_000  # of the server's version: EXPLAIN plans a statement with parameters


@dataclass(frozen=True, slots=True)
class Question:
    """What statements cost with some hypothetical indexes beside those that are there.

    Attributes:
        indexes: numbers of indexes of the run.
        statements: numbers of statements of the run.
    """

    indexes: tuple[int, ...]
    statements: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How large an index would be.

    Attributes:
        rows: that it has.
        height: levels above its leaves; `None` where it is no B-tree.
    """

    bytes: int
    rows: float
    height: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a plan costs.

    Attributes:
        total: in the planner's units.
        used: numbers of the hypothetical indexes in the plan.
        rows: that it is estimated to return.
    """

    total: float
    used: tuple[int, ...]
    rows: float


def hypopg_schema(cursor: Any) -> tuple[str | None, str]:
    """The schema of hypopg where the source has it, and else why there are no costs.

    Raises:
        Exception: whatever the driver raises.
    """
    cursor.execute(_EXTENSION)
    row = cursor.fetchone()
    if row is not None:
        return str(row[0]), ""
    cursor.execute(_AVAILABLE)
    if cursor.fetchone() is not None:
        return None, "hypopg is there but not switched on; let an administrator run: CREATE EXTENSION hypopg"
    return None, "the source has no hypopg"


class WhatIf:
    """Costs of the statements of a run.

    Args:
        cursor: of a transaction that may only read; it stays open as long as this is asked.
        schema: of hypopg.
        definitions: what follows the name in CREATE INDEX, of each index of the run.
        statements: those of the run, each one query with the number of its parameters `$1`, `$2` and so on.

    Attributes:
        round_trips: to the source so far.
        plans: made so far.
        errors: what the source says of statements that cannot be planned, by their number.
    """

    def __init__(
        self,
        cursor: Any,
        schema: str,
        definitions: Sequence[str],
        statements: Sequence[tuple[str, int]],
    ) -> None:
        self._cursor = cursor
        self._schema = quoted(schema)
        self._definitions = definitions
        self._statements = statements
        self._block = query_text("postgresql_costs_if").replace("hypopg_schema", self._schema)
        self._generic = cursor.connection.server_version >= _GENERIC_SINCE
        self.round_trips = 0
        self.plans = 0
        self.errors: dict[int, str] = {}

    def ask(self, questions: Sequence[Question]) -> list[list[Cost | None]]:
        """The cost of each statement of each question; `None` where it cannot be planned.

        Raises:
            Exception: whatever the driver raises.
        """
        asked = sorted({number for question in questions for number in question.statements})
        offered = sorted({number for question in questions for number in question.indexes})
        request = {
            "generic": self._generic,
            "definitions": {number: self._definitions[number] for number in offered},
            "statements": {number: self._statements[number] for number in asked},
            "questions": [[list(question.indexes), list(question.statements)] for question in questions],
        }
        self._cursor.execute(self._block.replace("'request'", literal(json.dumps(request))))
        answers = json.loads(self._cursor.fetchone()[0])
        self.round_trips += 1
        self.plans += sum(len(question.statements) for question in questions)
        return [costs_of(question, answer, self.errors) for question, answer in zip(questions, answers, strict=True)]

    def size(self, numbers: Sequence[int], sizes: Sequence[Size]) -> None:
        """Nothing is done: hypopg sizes its indexes by itself."""

    def forget(self) -> None:
        """Take the hypothetical indexes out of the session, which may be a pooler's and go to somebody else.

        Raises:
            Exception: whatever the driver raises.
        """
        self._cursor.execute(f"SELECT {self._schema}.hypopg_reset()")


def costs_of(question: Question, answer: Sequence[Any], errors: dict[int, str]) -> list[Cost | None]:
    """The costs of a question from an answer as JSON; what could not be planned goes to `errors`."""
    costs: list[Cost | None] = []
    for number, result in zip(question.statements, answer, strict=True):
        if isinstance(result, str):
            errors[number] = result
            costs.append(None)
        else:
            costs.append(Cost(float(result[0]), tuple(result[2]), float(result[1])))
    return costs


def literal(text: str) -> str:
    """Text as a string of SQL that means the same under every setting."""
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"

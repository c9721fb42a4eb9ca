"""What may be explained: exactly one SELECT that only reads."""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot.tokens import TokenType

from superset_ext.errors import PlanError
from superset_ext.sqltables.statement import LIMIT_BYTES, Statement, dialect_of, statements
from superset_ext.sqltables.table import Unknown

_WRITES = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable, exp.Copy,
    exp.Into, exp.Command,
)  # fmt: skip
# Where these are, a server may see the end of a string or of a comment elsewhere than sqlglot.
_UNSURE = re.compile(r"\\|\$|/\*")
_END = re.compile(r"[;\s]+\Z")


def one_select(sql: str, engine: str) -> str:
    """The SQL without a semicolon at its end, if it is one SELECT that only reads.

    Raises:
        PlanError: it is not, or that is not sure; the message is one line and repeats no value.
    """
    text = _END.sub("", sql)
    statement = _only(text, engine)
    if statement.first not in ("SELECT", "WITH", "("):
        raise PlanError(f"{_verb(statement)} is not explained; give one SELECT")
    try:
        tree = statement.tree()
    except Exception:  # noqa: BLE001  (a parser may raise anything over text that somebody typed)
        raise PlanError("it cannot be parsed; give one SELECT in the language of its database") from None
    _refuse_writing(tree)
    if ";" in text and _UNSURE.search(text):
        raise PlanError("it may be several statements; leave out the semicolon within it")
    return text


def _only(text: str, engine: str) -> Statement:
    dialect = dialect_of(engine)
    if dialect is None:
        raise PlanError(f"SQL of {engine!r} cannot be parsed, so it is not explained")
    try:
        parts = statements(text, dialect)
    except Unknown:
        raise PlanError(f"it is longer than {LIMIT_BYTES // 1024} KB; plans are taken of shorter SQL") from None
    except Exception:  # noqa: BLE001  (as above, of a tokenizer)
        raise PlanError("it cannot be split into words; a quote or a comment in it may not be closed") from None
    if len(parts) != 1:
        raise PlanError(f"there are {len(parts)} statements; give one SELECT" if parts else "there is no SQL in it")
    return parts[0]


def _verb(statement: Statement) -> str:
    """The first word of a statement where it is one of the language; anything else may be a value."""
    token = statement.tokens[0]
    return statement.first if token.token_type not in (TokenType.VAR, TokenType.STRING) else "this"


def _refuse_writing(tree: exp.Expression) -> None:
    if not isinstance(tree, exp.Query):
        raise PlanError("it is no SELECT; give one that only reads")
    writing = next(tree.find_all(*_WRITES), None)
    if writing is not None:
        word = "SELECT INTO" if isinstance(writing, exp.Into) else writing.key.upper()
        raise PlanError(f"it writes ({word}); give one SELECT that only reads")
    if any(select.args.get("locks") for select in tree.find_all(exp.Select)):
        raise PlanError("it locks rows (FOR UPDATE or FOR SHARE); leave that out")

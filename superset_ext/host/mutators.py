"""What somebody's `SQL_QUERY_MUTATOR` makes of a chart's statement right before it is sent."""

from __future__ import annotations

from typing import Any

from sqlglot.errors import SqlglotError
from sqlglot.tokens import Tokenizer


def adds_comments_alone(database: Any, sql: str) -> bool:
    """Whether a statement is sent as it is, but for comments before and after it. Needs an app context.

    Where `MUTATE_AFTER_SPLIT` is not set, the mutator has had its say before a statement comes to be sent.
    """
    changed = str(database.mutate_sql_based_on_config(sql, is_split=True))
    if changed == sql:
        return True
    before, own, after = changed.partition(sql)
    try:
        return bool(own) and not Tokenizer().tokenize(f"{before}\n{after}")
    except SqlglotError:
        return False

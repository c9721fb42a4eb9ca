"""What sqlglot logs, without the SQL in it.

sqlglot warns of a statement that it cannot parse by repeating it, a password in it included. Nothing is logged of what
this package parses. What Superset parses is logged as before, but without the text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MESSAGE = "sqlglot does not fully understand a statement (superset_ext leaves its text out, which may hold secrets)"
_silent: ContextVar[bool] = ContextVar("superset_ext_silent_parser", default=False)


class _WithoutText(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; its text is replaced."""
        record.msg, record.args, record.exc_info, record.exc_text = MESSAGE, (), None, None
        return not _silent.get()


# Here and not when the app is made: whoever parses with this package imports this module, commands and tests as well.
logging.getLogger("sqlglot").addFilter(_WithoutText())


@contextmanager
def silent_parser() -> Iterator[None]:
    """sqlglot logs nothing within the block, or within a function that is decorated with this."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)

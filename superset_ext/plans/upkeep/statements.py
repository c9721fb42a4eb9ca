"""Statements of other sessions without their values."""

from __future__ import annotations

import re

from superset_ext.monitor.log.fingerprint import normalised
from superset_ext.plans.postgresql import ENGINE

_LENGTH = 160
_NOTHING = ("", "<insufficient privilege>")
_QUOTE = re.compile(r"['\"$\\]|--|/\*|\d")


def shown(text: str | None, size: int) -> str:
    """The beginning of a statement as a person may see it; empty where the source tells none.

    Args:
        text: as `pg_stat_activity` has it, which cuts it off after `size` bytes.
    """
    if text is None or text in _NOTHING:
        return ""
    if len(text.encode()) >= size - 1:
        # The end of a value may be cut off, so that nothing after the first one is sure.
        text = _QUOTE.split(text, maxsplit=1)[0] + "…"
        return " ".join(text.split())[:_LENGTH]
    return normalised(text, ENGINE)[:_LENGTH]

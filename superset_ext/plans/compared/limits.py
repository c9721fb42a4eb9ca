"""How long what follows in a transaction may take."""

from __future__ import annotations

# The user's own limit stays where it is the shorter one.
_LIMIT = """
SELECT set_config('statement_timeout', CASE WHEN CAST(setting AS bigint) BETWEEN 1 AND {ms} THEN setting ELSE '{ms}' END, true)
FROM pg_catalog.pg_settings WHERE name = 'statement_timeout';
"""  # noqa: E501


def limiting(ms: int) -> str:
    """The statement that limits each that follows in its transaction to so many milliseconds."""
    return _LIMIT.format(ms=ms)

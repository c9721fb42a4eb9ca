"""What only some of the versions of PostgreSQL have that sources may be of."""

from __future__ import annotations

from typing import Any

import pytest


def is_since(connection: Any, major: int) -> bool:
    """Whether the server of a connection is of this major version, or of a later one."""
    return int(connection.server_version) >= major * 10_000


def need(connection: Any, major: int, what: str) -> None:
    """Skip the test where the server is older than this major version, which brought what the test is about."""
    if not is_since(connection, major):
        pytest.skip(f"{what} came with PostgreSQL {major}")

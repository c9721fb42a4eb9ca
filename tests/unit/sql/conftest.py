"""The parser without its warnings."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def quiet_parser() -> Iterator[None]:
    """sqlglot warns of each statement that it keeps as text."""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    yield
    logging.getLogger("sqlglot").setLevel(logging.NOTSET)

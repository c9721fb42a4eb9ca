"""The registry of a log."""

from __future__ import annotations

import pytest

from superset_ext.core.log_database import LogDatabase
from superset_ext.warm.registry.registry import Registry
from testing.uses import SETTINGS


@pytest.fixture
def registry(database: LogDatabase) -> Registry:
    return Registry(database, SETTINGS)

"""A source with views and partitions."""

from __future__ import annotations

import pytest

from superset_ext.embedded.postgres import Postgres
from testing.relations import SHAPES, run


@pytest.fixture(scope="session")
def url(postgres: Postgres) -> str:
    """A database with a relation of every kind; tests change nothing in it."""
    made = postgres.create_database("views_of_tables")
    run(made, SHAPES)
    return made

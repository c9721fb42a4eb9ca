"""Catalogs: which of Superset's databases lies behind a catalog of another."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from superset_ext.settings.values import PARSED_JSON, Record, refuse_duplicates

_Name = Annotated[str, Field(min_length=1)]


class Catalog(Record):
    """A catalog of a database that shows the tables of another.

    Attributes:
        database: Superset's name of the database that has the catalog.
        catalog: its name there: of a catalog, an attached database, a foreign server, a link.
        source: Superset's name of the database whose tables it shows; the same as `database` if it shows no other.
    """

    database: _Name
    catalog: _Name
    source: _Name


def _named_once(catalogs: tuple[Catalog, ...]) -> tuple[Catalog, ...]:
    refuse_duplicates((f"{catalog.database}.{catalog.catalog}".casefold() for catalog in catalogs), "catalog")
    return catalogs


Catalogs = Annotated[tuple[Catalog, ...], PARSED_JSON, AfterValidator(_named_once)]

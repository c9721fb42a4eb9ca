"""The tables of Superset's metadata that this package reads, and its session.

Import this inside functions: Superset can be imported only once its configuration is loaded.
"""

from __future__ import annotations

from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable, SqlMetric, TableColumn
from superset.databases.ssh_tunnel.models import SSHTunnel
from superset.extensions import db
from superset.models.annotations import Annotation, AnnotationLayer
from superset.models.core import Database, Log
from superset.models.dashboard import Dashboard
from superset.models.slice import Slice
from superset.models.sql_lab import Query
from superset.tags.models import ObjectType, Tag, TaggedObject
from superset.utils.core import RowLevelSecurityFilterType

__all__ = [
    "Annotation",
    "AnnotationLayer",
    "Dashboard",
    "Database",
    "Log",
    "ObjectType",
    "Query",
    "RowLevelSecurityFilter",
    "RowLevelSecurityFilterType",
    "SSHTunnel",
    "Slice",
    "SqlMetric",
    "SqlaTable",
    "TableColumn",
    "Tag",
    "TaggedObject",
    "db",
]

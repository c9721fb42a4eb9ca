"""Every setting in one typed table, read from the environment and checked whole at start.

It imports the standard library and pydantic only: Superset loads `superset_config` from inside
`superset.config`.
"""

from __future__ import annotations

from superset_ext.settings.aggregates import AggregateRule
from superset_ext.settings.catalogs import Catalog
from superset_ext.settings.environment import current, load, override, read_again, stop, variables
from superset_ext.settings.fields import PREFIX, ChangeSource
from superset_ext.settings.own_assets import OWN_DASHBOARDS, OWN_DATABASE
from superset_ext.settings.probes import Probe, Probes
from superset_ext.settings.redis_urls import with_database
from superset_ext.settings.regions import CONFIG_NAMES, DAY, Compression, Region
from superset_ext.settings.rewrites import REWRITE_RULES, Rewrite, RewriteRule
from superset_ext.settings.rules import OPERATIONS, Operation, Rule
from superset_ext.settings.schedules import TARGETS, Schedule, Targets
from superset_ext.settings.whole import Settings

__all__ = [
    "CONFIG_NAMES",
    "DAY",
    "OPERATIONS",
    "OWN_DASHBOARDS",
    "OWN_DATABASE",
    "PREFIX",
    "REWRITE_RULES",
    "TARGETS",
    "AggregateRule",
    "Catalog",
    "ChangeSource",
    "Compression",
    "Operation",
    "Probe",
    "Probes",
    "Region",
    "Rewrite",
    "RewriteRule",
    "Rule",
    "Schedule",
    "Settings",
    "Targets",
    "current",
    "load",
    "override",
    "read_again",
    "stop",
    "variables",
    "with_database",
]

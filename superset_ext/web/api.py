"""`/api/v1/performance`: all of its resources."""

from __future__ import annotations

from superset_ext.web.aggregate_actions import AggregateActionsApi
from superset_ext.web.aggregates import AggregatesApi
from superset_ext.web.alerts import AlertsApi
from superset_ext.web.analysis import AnalysisApi
from superset_ext.web.invalidation import InvalidationApi
from superset_ext.web.metrics import MetricsApi
from superset_ext.web.plans import PlansApi
from superset_ext.web.recommendations import RecommendationsApi
from superset_ext.web.slow_queries import SlowQueriesApi
from superset_ext.web.statistics import StatisticsApi
from superset_ext.web.status import StatusApi
from superset_ext.web.warm_up import WarmUpApi

RESOURCES = (
    StatusApi, StatisticsApi, SlowQueriesApi, RecommendationsApi, PlansApi, AnalysisApi, AggregatesApi,
    AggregateActionsApi, AlertsApi, MetricsApi, WarmUpApi, InvalidationApi,
)  # fmt: skip

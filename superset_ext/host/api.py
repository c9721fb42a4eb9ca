"""What Superset's own REST API is made of.

Import this inside functions: Superset can be imported only once its configuration is loaded.
"""

from __future__ import annotations

from superset.views.base_api import BaseSupersetApi, statsd_metrics

__all__ = ["BaseSupersetApi", "statsd_metrics"]

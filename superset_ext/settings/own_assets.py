"""How the package's own dashboards are recognised: the names that their bundle gives them."""

from __future__ import annotations

# The slugs of the dashboards, and the UUID of their database, as in monitor/dashboards/assets.
OWN_DASHBOARDS = ("cache-performance", "warming-and-freshness", "query-performance")
OWN_DATABASE = "b24f23c2-0bca-595a-96b7-0f2cc2cd52f6"

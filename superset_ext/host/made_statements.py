"""The SQL that a request for chart data leads to, made as Superset makes it and sent nowhere.

Everything here needs an app context and a request, and is done as the current user: with that user's row-level rules,
and only if Superset lets the user ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superset_ext.host.explaining import Asking, asking_of
from superset_ext.host.replay import old_chart


def of_query_context(body: Mapping[str, Any]) -> list[Asking]:
    """The statements of a query context, as `POST /api/v1/chart/data` sends them; none of what asks for no rows.

    Raises:
        Exception: whatever Superset raises of a request that it would refuse.
    """
    from superset.charts.schemas import ChartDataQueryContextSchema
    from superset.common.chart_data import ChartDataResultType

    context = ChartDataQueryContextSchema().load({**body, "force": False})
    context.raise_for_access()
    # What a share is taken of is asked without the row limit.
    context._processor._prepare_contribution_totals()
    whole = {ChartDataResultType.FULL, ChartDataResultType.RESULTS, ChartDataResultType.POST_PROCESSED}
    made = []
    for query in context.queries:
        if (query.result_type or context.result_type) in whole:
            query.validate()
            made.append(asking_of(query.datasource or context.datasource, query.to_dict()))
    return made


def of_old_chart() -> list[Asking]:
    """The statement of the current request, as `/superset/explore_json/` sends it.

    Raises:
        Exception: likewise.
    """
    chart = old_chart(False)
    query = chart.query_obj()
    return [asking_of(chart.datasource, query)] if query else []

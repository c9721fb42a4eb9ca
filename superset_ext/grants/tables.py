"""Which tables of Superset's metadata tell of their changes, and which need not."""

from __future__ import annotations

from collections.abc import Mapping

# The tables that decide neither a right nor an answer that is given again, each with the reason.
IDLE: Mapping[str, str] = {
    "ab_api_key": "who asks with an API key is answered by Superset",
    "ab_register_user": "who has registered is no user yet",
    "cache_keys": "a list of what was cached; nothing reads it for an answer",
    "dynamic_plugin": "code that browsers load",
    "key_value": "states of filters and of Explore, permanent links and secrets; no request that is granted names one",
    "keyvalue": "short links of earlier versions",
    "logs": "what people did",
    "query": "queries of SQL Lab; a chart on one is answered by Superset",
    "report_execution_log": "reports are no requests of people",
    "report_recipient": "as above",
    "report_schedule": "as above",
    "report_schedule_user": "as above",
    "saved_query": "a chart on one is answered by Superset",
    "tab_state": "open tabs of SQL Lab",
    "table_schema": "open tables of SQL Lab",
    "task_subscribers": "tasks in the background",
    "tasks": "as above",
    "user_attribute": "pictures and start pages of people",
    "user_favorite_tag": "favourite tags",
}


def watched_tables() -> list[str]:
    """The names of the tables that Superset maps and that may decide something."""
    from flask_appbuilder import Model

    return sorted({table.name for table in Model.metadata.tables.values()} - set(IDLE))

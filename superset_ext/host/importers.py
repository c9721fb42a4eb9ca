"""Superset's own importers, which write one database, dataset, chart or dashboard of an export over what exists.

They change the config that they are given. All need an app context; nothing is committed, but for a database, which
Superset commits at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def import_database(config: dict[str, Any], url: str) -> Any:
    """Write a database with this URL; returns Superset's model of it."""
    from superset.commands.database.importers.v1 import utils

    config["sqlalchemy_uri"] = url
    return utils.import_database(config, overwrite=True, ignore_permissions=True)


def import_dataset(config: dict[str, Any], database_id: int | None) -> Any:
    """Write a dataset of a database; returns Superset's model of it."""
    from superset.commands.dataset.importers.v1 import utils

    config["database_id"] = database_id
    return utils.import_dataset(config, overwrite=True, ignore_permissions=True)


def import_chart(config: dict[str, Any], dataset: Any) -> Any:
    """Write a chart of a dataset; returns Superset's model of it."""
    from superset.commands.chart.importers.v1 import utils
    from superset.commands.utils import update_chart_config_dataset

    updated = update_chart_config_dataset(config, _datasource(dataset))
    return utils.import_chart(updated, overwrite=True, ignore_permissions=True)


def import_dashboard(config: dict[str, Any], charts: Mapping[str, Any], datasets: Mapping[str, Any]) -> Any:
    """Write a dashboard with those of the charts that it names; returns Superset's model of it.

    Args:
        charts: Superset's charts by UUID.
        datasets: Superset's datasets by UUID.
    """
    from superset.commands.dashboard.importers.v1 import utils

    from superset_ext.host.models import db

    ids = {uuid: chart.id for uuid, chart in charts.items()}
    datasources = {uuid: _datasource(dataset) for uuid, dataset in datasets.items()}
    dashboard = utils.import_dashboard(
        utils.update_id_refs(config, ids, datasources), overwrite=True, ignore_permissions=True
    )
    db.session.flush()
    dashboard.slices = [charts[uuid] for uuid in sorted(utils.find_chart_uuids(config["position"])) if uuid in charts]
    return dashboard


def _datasource(dataset: Any) -> dict[str, Any]:
    """A dataset in the words of the importers."""
    return {"datasource_id": dataset.id, "datasource_type": "table", "datasource_name": dataset.table_name}

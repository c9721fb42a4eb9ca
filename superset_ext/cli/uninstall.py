"""`superset perf uninstall`: takes away all that the package has made, so that Superset runs on as stock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from superset_ext.cli import watch as watching
from superset_ext.core.log_database import SCHEMA_SECONDS, LogDatabase
from superset_ext.doctor.worker import NAME as REPORT
from superset_ext.errors import SupersetExtError
from superset_ext.host.regions import regions
from superset_ext.monitor.dashboards import installation as dashboards
from superset_ext.package import EXTENSION, Package

_WATCHED = "SELECT DISTINCT database_id FROM superset_ext.cache_watch"
_DROP = "DROP SCHEMA superset_ext CASCADE"
REPLY_SECONDS = 5.0
# What Superset makes with its first database and dataset, which may have been the dashboards'.
OF_DATABASES = {"catalog_access", "schema_access", "datasource_access"}


@click.command()
@with_appcontext
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def uninstall(yes: bool, as_json: bool) -> None:
    """Take away all that the package has made: watches, dashboards, permissions, cached entries, and the log.

    Stop Superset's web server, workers, beat and listener before, and take the package out of the config after: what
    runs with the package makes its tables anew.
    """
    package = _package()
    if running := _running():
        raise click.ClickException(f"Celery workers run with the package ({running}); stop Superset's processes first")
    if not yes:
        click.confirm("Delete the log, the performance dashboards, all watches and all cached entries?", abort=True)
    done = list(_steps(package))
    click.echo(json.dumps({"removed": done}) if as_json else "\n".join(f"Removed: {each}." for each in done))


def _package() -> Package:
    package = current_app.extensions.get(EXTENSION)
    if package is None:
        raise click.ClickException("the package is not switched on; set SUPERSET_EXT_REDIS_URL")
    return package  # type: ignore[no-any-return]


def _running() -> str:
    """Names of the workers that run with the package."""
    from superset.extensions import celery_app

    try:
        replies = celery_app.control.broadcast(REPORT, reply=True, timeout=REPLY_SECONDS) or []
    except Exception:  # noqa: BLE001  (kombu raises what its transport does; without a broker nobody works)
        return ""
    return ", ".join(name for reply in replies for name, said in reply.items() if said.get("switched_on"))


def _steps(package: Package) -> Iterator[str]:
    """Each thing that was removed; what cannot be removed is told, and stops nothing else."""
    here: Any = current_app
    app = here._get_current_object()
    if package.recorder is not None:
        package.recorder.stop()
    if package.database is not None:
        yield from _watches(package.database)
        removed = dashboards.remove(app, package.database)
        yield f"{len(removed)} dashboards, charts, datasets and their database"
    yield f"{_permissions()} permissions"
    for name, cache in regions(app).items():
        if cache.erase():
            yield f"what {name} held"
        else:
            click.echo(f"What {name} holds is left, since its Redis does not answer.", err=True)
    if package.database is not None:
        with package.database.transaction(SCHEMA_SECONDS) as cursor:
            cursor.execute(_DROP)
        yield "the schema superset_ext"


def _watches(database: LogDatabase) -> Iterator[str]:
    for row in database.rows(_WATCHED):
        try:
            _, names = watching.take_away(str(row["database_id"]), ())
        except SupersetExtError as error:
            click.echo(f"Watches of database {row['database_id']} are left: {error}. There, sql/watch/uninstall.sql "
                       "takes them away.", err=True)  # fmt: skip
        else:
            yield f"watches of {', '.join(map(str, names))}"


def _permissions() -> int:
    """The permissions of the REST API, from all roles; how many those were."""
    from superset.extensions import appbuilder, db

    from superset_ext.web.guard import VIEW_MENU

    manager = appbuilder.sm
    menu = manager.find_view_menu(VIEW_MENU)
    if menu is None:
        return 0
    found = manager.find_permissions_view_menu(menu)
    for each in found:
        for role in manager.get_all_roles():
            if each in role.permissions:
                role.permissions.remove(each)
        db.session.delete(each)
    db.session.flush()
    db.session.delete(menu)
    _forget_unused({each.permission.name for each in found} | OF_DATABASES)
    db.session.commit()
    return len(found)


def _forget_unused(names: set[str]) -> None:
    """Delete kinds of permission that nothing has any more; Superset makes its own anew when it needs them."""
    from superset.extensions import appbuilder, db

    manager = appbuilder.sm
    for name in names:
        kind = manager.find_permission(name)
        used = db.session.query(manager.permissionview_model).filter_by(permission=kind)
        if kind is not None and used.first() is None:
            db.session.delete(kind)

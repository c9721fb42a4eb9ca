"""Celery's config with the package's tasks, schedule and queue, whatever shape and whichever names it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from superset_ext.configuration.shapes import added_to
from superset_ext.settings import Settings

Own = Mapping[str, Any]  # the user's names, some of which may be missing or None


@dataclass(frozen=True)
class Names:
    """What Celery calls the settings that concern us, in one of its two generations of names."""

    imports: str = "imports"
    schedule: str = "beat_schedule"
    routes: str = "task_routes"
    queues: str = "task_queues"
    default_queue: str = "task_default_queue"
    broker: str = "broker_url"
    results: str = "result_backend"
    transport: str = "broker_transport_options"


NEW = Names()
OLD = Names(
    "CELERY_IMPORTS", "CELERYBEAT_SCHEDULE", "CELERY_ROUTES", "CELERY_QUEUES", "CELERY_DEFAULT_QUEUE",
    "BROKER_URL", "CELERY_RESULT_BACKEND", "BROKER_TRANSPORT_OPTIONS",
)  # fmt: skip


def celery_config(settings: Settings, own: Any) -> Any:
    """`own`, in any shape that Celery takes, with our tasks, schedule and queue; `None` where Celery is switched off.

    What `own` says of our tasks, of its queues and of its broker stays; see `keeps_broker` for the one exception.
    """
    return None if own is None else added_to(own, lambda source: _additions(settings, source))


def keeps_broker(own: Own) -> bool:
    """Whether a config's broker stays. A local SQLite file, which is Superset's default, serves one machine only."""
    return not _is_sqlite(own.get(names_of(own).broker))


def names_of(own: Own) -> Names:
    """The names of the config's generation, as Celery decides it: it refuses a config that mixes them."""
    from celery.app.defaults import _OLD_SETTING_KEYS, SETTING_KEYS

    present = set(own)
    return OLD if len(present & _OLD_SETTING_KEYS) > len(present & SETTING_KEYS) else NEW


def _additions(settings: Settings, own: Own) -> dict[str, Any]:
    """The names that we add to, each with the user's own values and ours."""
    from superset_ext.aggregates import tasks as aggregates
    from superset_ext.freshness import tasks as freshness
    from superset_ext.host import worker_report
    from superset_ext.monitor import tasks as monitor
    from superset_ext.plans import tasks as plans
    from superset_ext.warm import tasks as warm
    from superset_ext.warm.service import QUEUE

    names = names_of(own)
    modules = [module.__name__ for module in (freshness, monitor, plans, aggregates, warm, worker_report)]
    beat: dict[str, Any] = {}
    for module in (freshness, monitor, plans, aggregates, warm):
        beat |= module.beat_schedule(settings)
    added = {
        names.imports: _once((*_listed(own.get(names.imports)), *modules)),
        names.schedule: {**beat, **(own.get(names.schedule) or {})},
        **_brokers(settings, names, own),
    }
    if not _refuses(own.get(names.transport), QUEUE):
        added[names.routes] = _routes(own.get(names.routes), warm.ROUTES)
        added[names.queues] = _queues(own.get(names.queues), own.get(names.default_queue) or "celery", QUEUE, own)
    return added


def _brokers(settings: Settings, names: Names, own: Own) -> dict[str, Any]:
    if keeps_broker(own):
        return {}
    results = own.get(names.results)
    ours = {names.broker: settings.broker()}
    return ours if results and not _is_sqlite(results) else {**ours, names.results: settings.broker()}


def _is_sqlite(url: Any) -> bool:
    """`sqla+sqlite:///…` and `sqlalchemy+sqlite:///…` of brokers, `db+sqlite:///…` of results."""
    return isinstance(url, str) and "+sqlite" in url.partition(":")[0]


def _listed(modules: Any) -> Iterable[str]:
    """Celery takes one name as well as many."""
    return (modules,) if isinstance(modules, str) else tuple(modules or ())


def _once(modules: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(modules))


def _refuses(transport: Any, queue: str) -> bool:
    """Whether a broker knows only the queues that its config lists, as SQS may: ours would fail whoever sends to it."""
    listed = transport.get("predefined_queues") if isinstance(transport, Mapping) else None
    return isinstance(listed, Mapping) and queue not in listed


def _routes(own: Any, ours: Mapping[str, Any]) -> Any:
    """The user's routers and, for the tasks that none of them knows, ours: Celery asks one after the other."""
    if own is None or (isinstance(own, Mapping) and not _match(own, ours)):
        return {**ours, **(own or {})}
    routers = list(own) if isinstance(own, list | tuple) else [own]
    return routers if ours in routers else [*routers, dict(ours)]


def _match(own: Mapping[Any, Any], tasks: Iterable[str]) -> bool:
    """Whether a pattern of these routes decides about one of the tasks; a name of ours beside it would win over it."""
    from celery.app.routes import MapRoute

    known = MapRoute(dict.fromkeys(own, ()))
    return any(task not in own and known(task) is not None for task in tasks)


def _queues(own: Any, default: str, warm: str, config: Own) -> Any:
    """The queues of a worker without `-Q`: those that it had, and warming's, so that no worker need be added."""
    from kombu import Queue

    if isinstance(own, Mapping) and own:
        return {**own, warm: own.get(warm, {"exchange": warm, "routing_key": warm})}
    kept = list(own or [Queue(default, queue_arguments=_arguments(config))])  # its exchange and key are Celery's
    present = any(getattr(queue, "name", queue) == warm for queue in kept)
    return kept if present else [*kept, Queue(warm, routing_key=warm, queue_arguments=_arguments(config))]


def _arguments(config: Own) -> dict[str, str] | None:
    """What Celery gives the default queue, which it makes itself only where a config lists no queue."""
    return {"x-queue-type": "quorum"} if config.get("task_default_queue_type") == "quorum" else None

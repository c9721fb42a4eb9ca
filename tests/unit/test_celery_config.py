"""A Celery config of any shape and either generation of names, as Celery itself reads it afterwards."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from superset_ext.configuration.celery import celery_config
from superset_ext.settings import load
from superset_ext.warm.service import QUEUE, TASK, queue_of

SETTINGS = load({"SUPERSET_EXT_REDIS_URL": "redis://cache:6379"})
OURS = tuple(
    f"superset_ext.{name}"
    for name in (*map("{}.tasks".format, ("freshness", "monitor", "plans", "aggregates", "warm")), "host.worker_report")
)
NEW = {
    "broker_url": "redis://own:6379/9",
    "imports": ("superset.sql_lab", "mine.tasks"),
    "beat_schedule": {"mine": {"task": "mine.tasks.go", "schedule": 60}},
    "task_annotations": {"mine": {"rate_limit": "1/s"}},
    "worker_prefetch_multiplier": 7,
}
OLD = {
    "BROKER_URL": "redis://own:6379/9",
    "CELERY_IMPORTS": ("superset.sql_lab", "mine.tasks"),
    "CELERYBEAT_SCHEDULE": {"mine": {"task": "mine.tasks.go", "schedule": 60}},
    "CELERY_ANNOTATIONS": {"mine": {"rate_limit": "1/s"}},
    "CELERYD_PREFETCH_MULTIPLIER": 7,
}


class Slotted:
    """An instance without a `__dict__`."""

    __slots__ = tuple(NEW)

    def __init__(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, value)


class Lazy:
    """An instance whose names are properties."""

    broker_url = property(lambda self: NEW["broker_url"])
    imports = property(lambda self: NEW["imports"])
    beat_schedule = property(lambda self: NEW["beat_schedule"])
    task_annotations = property(lambda self: NEW["task_annotations"])
    worker_prefetch_multiplier = property(lambda self: 7)


def module(values: dict[str, Any]) -> ModuleType:
    """A module with these names."""
    made = ModuleType("celeryconfig_of_a_test")
    vars(made).update(values)
    return made


SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "mapping": MappingProxyType,
    "class": lambda values: type("CeleryConfig", (), values),
    "subclass": lambda values: type("CeleryConfig", (type("Base", (), values),), {}),
    "final class": lambda values: final(values),
    "instance": lambda values: type("CeleryConfig", (), values)(),
    "namespace": lambda values: SimpleNamespace(**values),
    "module": module,
}


def final(values: dict[str, Any]) -> Any:
    """A class that cannot have children."""

    def refuse(cls: type, **_: Any) -> None:
        raise TypeError("final")

    return type("CeleryConfig", (), {**values, "__init_subclass__": classmethod(refuse)})


def conf(own: Any) -> Any:
    """Celery's own reading of a config that we have added to."""
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_config(SETTINGS, own))
    app.conf.broker_url  # noqa: B018  (reads it all: Celery refuses a mixture of names now)
    return app.conf


def assert_added_to(read: Any) -> None:
    """The names of NEW and OLD stand as they were, and ours beside them."""
    assert read.broker_url == "redis://own:6379/9"
    assert tuple(read.imports) == ("superset.sql_lab", "mine.tasks", *OURS)
    assert read.beat_schedule["mine"] == {"task": "mine.tasks.go", "schedule": 60}
    assert any(name.startswith("superset_ext") for name in read.beat_schedule)
    assert read.task_annotations == {"mine": {"rate_limit": "1/s"}}
    assert read.worker_prefetch_multiplier == 7
    assert [queue.name for queue in read.task_queues] == ["celery", "superset_ext_warm"]


@pytest.mark.parametrize("values", [NEW, OLD], ids=["new names", "old names"])
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_config_from_object_takes_is_added_to(shape: str, values: dict[str, Any]) -> None:
    """Intent: the shape of a config and the age of its names change nothing of what Celery makes of it."""
    assert_added_to(conf(SHAPES[shape](dict(values))))


@pytest.mark.parametrize("own", [Slotted(NEW), Lazy()], ids=["slots", "properties"])
def test_instances_without_attributes_of_their_own_are_read(own: Any) -> None:
    """Intent: an instance is read as Celery reads it, whatever its attributes are made of."""
    assert_added_to(conf(own))


@pytest.mark.parametrize("path", ["celeryconfig_{0}", "celeryconfig_{0}:Config", "celeryconfig_{0}.Config"])
def test_a_dotted_path_is_imported_when_celery_asks(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent: a path may name something in the config that is only being read, so nothing is imported before."""
    name = path.replace("{0}", str(abs(hash(path))))
    made = celery_config(SETTINGS, name)
    text = "\n".join(f"{key} = {value!r}" for key, value in NEW.items())
    config = "class Config:\n" + "\n".join(f"    {line}" for line in text.splitlines()) if "Config" in path else text
    (tmp_path / f"{name.partition(':')[0].partition('.')[0]}.py").write_text(config)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    app = Celery("test", set_as_current=False)
    app.config_from_object(made)
    assert_added_to(app.conf)


@pytest.mark.parametrize(
    "own",
    [
        {"BROKER_URL": "redis://own:6379/9"},
        {"BROKER_URL": "redis://own:6379/9", "CELERY_TASK_SERIALIZER": "json"},
        {"CELERY_QUEUES": [Queue("celery")], "BROKER_URL": "redis://own:6379/9"},
        {"CELERYD_CONCURRENCY": 3, "BROKER_URL": "redis://own:6379/9"},
    ],
)
def test_old_names_of_any_kind_are_not_mixed_with_new_ones(own: dict[str, Any]) -> None:
    """Intent: Celery refuses a config with both, so one old name anywhere decides."""
    read = conf(own)
    assert read.broker_url == "redis://own:6379/9"
    assert set(OURS) <= set(read.imports)
    assert "superset_ext_warm" in [queue.name for queue in read.task_queues]


@pytest.mark.parametrize("own", ["mine.tasks", ["mine.tasks"], {"mine.tasks"}, None, ()])
@pytest.mark.parametrize("name", ["imports", "CELERY_IMPORTS"])
def test_imports_of_any_kind_are_kept_whole(own: Any, name: str) -> None:
    """Intent: one module as a string is that module, not its letters; None is none."""
    read = conf({name: own})
    assert tuple(read.imports) == ((*(["mine.tasks"] if own else []), *OURS))


@pytest.mark.parametrize("names", [("broker_url", "result_backend"), ("BROKER_URL", "CELERY_RESULT_BACKEND")])
@pytest.mark.parametrize("broker", ["sqla+sqlite:///celerydb.sqlite", "sqlalchemy+sqlite:////x/y.db"])
def test_a_broker_in_a_sqlite_file_is_replaced_in_either_names(names: tuple[str, str], broker: str) -> None:
    """Intent: Superset's default broker serves one machine; results kept elsewhere stay there."""
    read = conf(dict(zip(names, (broker, "db+sqlite:///results.sqlite"), strict=True)))
    assert (read.broker_url, read.result_backend) == ("redis://cache:6379/0", "redis://cache:6379/0")
    kept = conf(dict(zip(names, (broker, "s3://bucket"), strict=True)))
    assert (kept.broker_url, kept.result_backend) == ("redis://cache:6379/0", "s3://bucket")


def test_what_the_config_says_of_our_own_tasks_stays() -> None:
    """Intent: who gives a task of ours another schedule or queue has meant it."""
    mine = {"task": "superset_ext.warm_tick", "schedule": 3600.0}
    read = conf({
        "beat_schedule": {"superset_ext.warm_tick": mine},
    })  # fmt: skip
    assert read.beat_schedule["superset_ext.warm_tick"] == mine


def route(name: str, *_args: Any, **_options: Any) -> dict[str, str] | None:
    """A router as Celery takes it since its version 4."""
    return {"queue": "mine"} if name.startswith("superset_ext.") else None


class Route:
    """A router as Celery took it before."""

    def route_for_task(self, task: str, args: Any = None, kwargs: Any = None) -> dict[str, str] | None:
        return route(task)


ROUTE = f"{__name__}.{route.__name__}"
TO_MINE = {"queue": "mine"}


@pytest.mark.parametrize("name", ["task_routes", "CELERY_ROUTES"])
@pytest.mark.parametrize(
    "own",
    [
        {TASK: "mine"}, {TASK: {"queue": Queue("mine")}}, {"superset_ext.*": TO_MINE}, {"*": "mine"},
        {re.compile("superset_ext"): TO_MINE}, [{TASK: TO_MINE}], ({"superset_ext.*": TO_MINE},),
        ([("reports.*", "reports"), (TASK, TO_MINE)],), [[("superset_ext.*", TO_MINE)]], route, [route], Route(),
        ROUTE, [{"reports.*": "reports"}, ROUTE], f"{__name__}:{Route.__name__}", [f"{__name__}.{Route.__name__}"],
    ],
)  # fmt: skip
def test_who_routes_our_task_has_meant_it(own: Any, name: str) -> None:
    """Intent: a config that sends warming's task somewhere decides, in each form that Celery takes."""
    assert queue_by(own, name) == queue_by(own, name, times=2) == "mine"


@pytest.mark.parametrize(
    "own", [None, {}, [], (), {"reports.*": "mine"}, [{"reports.*": TO_MINE}], ([("reports.*", TO_MINE)],),
            lambda name, *_args, **_options: None, [{"reports.*": TO_MINE}, lambda name, *_args, **_options: None]],
)  # fmt: skip
def test_where_nobody_routes_our_task_it_has_its_queue(own: Any) -> None:
    """Intent: warming's task goes to its queue beside the user's own routes, which stay."""
    assert queue_by(own, "task_routes") == queue_by(own, "task_routes", times=2) == QUEUE
    stays = queue_by(own, "task_routes", task="reports.execute")
    assert stays == ("mine" if "reports" in str(own) else "celery")


def queue_by(own: Any, name: str, times: int = 1, task: str = TASK) -> str | None:
    """The queue to which Celery sends a task with these routes, once ours are added so many times."""
    config: Any = {name: own}
    for _ in range(times):
        config = celery_config(SETTINGS, config)
    app = Celery("test", set_as_current=False)
    app.config_from_object(config)
    if task == TASK:
        return queue_of(app)
    return str(app.amqp.router.route({}, task)["queue"].name)


@pytest.mark.parametrize("options", [
    {}, {"task_default_queue": "mine"}, {"task_default_exchange": "x", "task_default_exchange_type": "topic"},
    {"task_default_routing_key": "key"}, {"task_queue_max_priority": 5},
])  # fmt: skip
def test_the_default_queue_is_as_celery_would_make_it(options: dict[str, Any]) -> None:
    """Intent: a config that lists no queue has the same default queue with ours beside it."""

    def queue(own: Any) -> Any:
        app = Celery("test", set_as_current=False)
        app.config_from_object(own)
        default = app.amqp.queues[app.conf.task_default_queue]
        return default.name, default.exchange.name, default.exchange.type, default.routing_key, default.queue_arguments

    assert queue(celery_config(SETTINGS, options)) == queue(options)


def test_a_broker_that_knows_only_the_queues_of_its_list_gets_no_other() -> None:
    """Intent: with SQS and predefined queues a message to any other queue fails whoever sends it."""
    own = {"broker_url": "sqs://", "broker_transport_options": {"predefined_queues": {"celery": {"url": "https://q"}}}}
    read = conf(own)
    assert not read.task_queues
    assert not read.task_routes


def test_adding_twice_is_adding_once() -> None:
    """Intent: a config that star-imports another one with our line adds to what was added to before."""
    once = celery_config(SETTINGS, type("CeleryConfig", (), dict(NEW)))
    twice = celery_config(SETTINGS, once)
    assert_added_to(conf_of(twice))


def conf_of(made: Any) -> Any:
    """Celery's reading of a config as it is."""
    app = Celery("test", set_as_current=False)
    app.config_from_object(made)
    return app.conf

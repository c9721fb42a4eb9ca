"""A Celery config in any shape that `config_from_object` takes, added to without being changed."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Additions = Callable[[Mapping[str, Any]], dict[str, Any]]


def added_to(own: Any, additions: Additions) -> Any:
    """A config with the names of `own` and those that `additions` makes of them, which win.

    A dict stays a dict and a class a class, for code that goes on reading or extending it. Everything else (an
    instance, a module, a dotted path) becomes an object.
    """
    from celery.utils.collections import force_mapping

    if isinstance(own, str):
        return Layered(lambda: force_mapping(_imported(own)), additions)
    if isinstance(own, Mapping):
        return {**own, **additions(own)}
    if isinstance(own, type):
        try:
            return type("CeleryConfig", (own,), additions(force_mapping(own)))
        except TypeError:  # a class that cannot have children
            pass
    return Layered(lambda: force_mapping(own), additions)


class Layered:
    """A config over another one, which is read when a name is first asked for.

    What a dotted path names cannot be imported before: it may lie in the config that is only being read.
    """

    def __init__(self, source: Callable[[], Mapping[str, Any]], additions: Additions) -> None:
        self._source = source
        self._additions = additions
        self._layers: ChainMap[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copying and pickling ask for
            raise AttributeError(name)
        try:
            return self._read()[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> Iterator[str]:  # this is how Celery lists the names of an object
        return iter(self._read())

    def _read(self) -> ChainMap[str, Any]:
        if self._layers is None:
            source: Any = self._source()
            self._layers = ChainMap(self._additions(source), source)
        return self._layers


def _imported(path: str) -> Any:
    """What a dotted path names, as Celery finds it: a module, or a name in one."""
    from celery.utils.imports import import_from_cwd, symbol_by_name

    if ":" not in path:
        try:
            return import_from_cwd(path)
        except ImportError:
            pass
    return symbol_by_name(path, imp=import_from_cwd)

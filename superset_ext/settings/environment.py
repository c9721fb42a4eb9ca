"""From environment variables to settings: `SUPERSET_EXT_<FIELD>`, and `SUPERSET_EXT_<REGION>_<FIELD>` of a region."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from pydantic import ValidationError

from superset_ext.errors import SettingsError
from superset_ext.settings.consistency import check
from superset_ext.settings.fields import PREFIX
from superset_ext.settings.redis_urls import named_database
from superset_ext.settings.regions import CONFIG_NAMES, REGION_DEFAULTS, Region, RegionSettings
from superset_ext.settings.whole import Settings

# What replaces pydantic's own text, by the type of its error; it follows the name of the variable.
_TEXTS = {
    "tuple_type": "should be a JSON list, as in [{…}, {…}]",
    "extra_forbidden": "is not one of its names; remove it",
    "missing": "is missing; add it",
    "int_parsing": "should be a whole number",
    "float_parsing": "should be a number",
    "bool_parsing": "should be true or false",
    "string_pattern_mismatch": "should be 1 to 64 letters, digits, dots, hyphens and underscores",
}


_MOST_MEANT = 3


def variables() -> dict[str, tuple[str, ...]]:
    """Every environment variable, with the path of the field that it sets."""
    paths: dict[str, tuple[str, ...]] = {}
    for name, field in Settings.model_fields.items():
        if field.annotation is RegionSettings:
            paths |= {f"{PREFIX}{name}_{own}".upper(): (name, own) for own in RegionSettings.model_fields}
        else:
            paths[f"{PREFIX}{name}".upper()] = (name,)
    return paths


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` makes; a variable that is empty counts as not set.

    Raises:
        SettingsError: in one line, what is wrong and the fix; the value of a URL is never repeated.
    """
    try:
        settings = Settings.model_validate(_values(environ))
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None
    settings.note(path for name, path in variables().items() if environ.get(name))
    check(settings)
    return settings


def _values(environ: Mapping[str, str]) -> dict[str, Any]:
    known = variables()
    values: dict[str, Any] = {str(region): dict(REGION_DEFAULTS[region]) for region in Region}
    for variable, raw in environ.items():
        if not variable.startswith(PREFIX) or raw == "":
            continue
        if variable not in known:
            raise SettingsError(f"{variable} is not a setting{_nearest(variable, known)}")
        *parents, leaf = known[variable]
        (values[parents[0]] if parents else values)[leaf] = raw.strip()
    _share_database(values, environ)
    return values


def _share_database(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Give each region the database that the URL of all names, as where a server has only that one."""
    number = named_database(str(values.get("redis_url") or ""))
    for region in Region:
        if number is not None and not environ.get(f"{PREFIX}{region.upper()}_DB"):
            values[str(region)]["db"] = number


def _nearest(variable: str, known: Mapping[str, Any]) -> str:
    """Which settings may have been meant: one that is spelt nearly so, or else those that have all of its words."""
    from difflib import get_close_matches

    names = {name.removeprefix(PREFIX): name for name in known}
    written = variable.removeprefix(PREFIX)
    near = get_close_matches(written, names, n=1, cutoff=0.8)
    words = set(written.split("_"))
    longer = sorted((name for name in names if words <= set(name.split("_"))), key=lambda name: (len(name), name))
    meant = [names[name] for name in near or longer[:_MOST_MEANT] or get_close_matches(written, names, n=1)]
    if not meant:
        return "; remove it, or see the table in docs/settings.md"
    return f"; did you mean {' or '.join(meant)}?"


def _one_line(error: ValidationError) -> str:
    """The first problem, after the name of its variable."""
    first = error.errors(include_url=False, include_input=False)[0]
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{_place(first['loc'])} {_TEXTS.get(first['type'], text)}"


def _place(path: tuple[int | str, ...]) -> str:
    """The variable of a path; within a JSON list, which one variable holds whole, also the item and its field."""
    number = next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))
    variable = PREFIX + "_".join(map(str, path[:number])).upper()
    if number == len(path):
        return variable
    field = ".".join(map(str, path[number + 1 :]))
    return f"{variable}: {f'{field} of ' if field else ''}number {int(path[number]) + 1}"


_overrides: dict[Region, dict[str, Any]] = {}


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: the environment sets something wrong.
    """
    settings = load(os.environ)
    for region, values in _overrides.items():
        settings = settings.with_region(region, **values)
    check(settings)
    return settings


def read_again() -> Settings:
    """The settings as the environment is now, for a config that may have changed it.

    Raises:
        SettingsError: as for `current`.
    """
    _overrides.clear()
    current.cache_clear()
    return current()


def override(region: Region, **values: Any) -> None:
    """Let Superset's config decide some settings of a region in this process, over the environment.

    Raises:
        SettingsError: a value is none of its setting, or contradicts another one.
    """
    before = current()
    try:
        if before.with_region(region, **values) != before:
            _overrides[region] = values
            current.cache_clear()
            current()
    except (SettingsError, ValidationError) as error:
        _overrides.pop(region, None)
        current.cache_clear()
        text = _one_line(error) if isinstance(error, ValidationError) else str(error)
        raise SettingsError(f"{CONFIG_NAMES[region]}: {text}") from None


def stop(error: SettingsError) -> NoReturn:
    """End the process with the one line that names the fix.

    Status 3 is what gunicorn's arbiter takes for «the application cannot boot»; with any other it
    would start the worker again for ever.
    """
    print(f"superset_ext: {error}", file=sys.stderr, flush=True)
    raise SystemExit(3)

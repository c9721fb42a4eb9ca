"""The table of settings that the README shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from superset_ext.settings.fields import PREFIX
from superset_ext.settings.regions import REGION_DEFAULTS, Region, RegionSettings
from superset_ext.settings.whole import Settings


@dataclass(frozen=True)
class Row:
    """One setting: its variable, type and default as text, and what it does in one sentence."""

    variable: str
    kind: str
    default: str
    help: str


def rows() -> Iterator[Row]:
    """Every setting in the order of the table; those of a region once, with `<REGION>` in their names."""
    for name, field in Settings.model_fields.items():
        if field.annotation is not RegionSettings:
            yield Row(PREFIX + name.upper(), _kind(field.annotation), _text(field.default), field.description or "")
    for name, field in RegionSettings.model_fields.items():
        values = [REGION_DEFAULTS[region].get(name, field.default) for region in Region]
        default = _text(values[0]) if len(set(values)) == 1 else ", ".join(map(_text, values))
        yield Row(f"{PREFIX}<REGION>_{name.upper()}", _kind(field.annotation), default, field.description or "")


def markdown() -> str:
    """The README's table of settings."""
    lines = ["| variable | type | default | what it does |", "| --- | --- | --- | --- |"]
    lines += [f"| `{row.variable}` | {_cell(row.kind)} | {_cell(row.default)} | {row.help} |" for row in rows()]
    return "\n".join(lines)


def _kind(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "JSON"
    args = [arg for arg in get_args(annotation) if arg is not type(None)]
    if not args:
        return str(getattr(annotation, "__name__", annotation))
    if all(isinstance(arg, str) for arg in args):
        return " | ".join(args)
    return _kind(args[0])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

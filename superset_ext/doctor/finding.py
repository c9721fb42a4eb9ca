"""What a check comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from superset_ext.package import Package

Level = Literal["fine", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line.

    Attributes:
        check: what was looked at.
        level: `fine`; `warning`: it works and could be better; `error`: something does not work.
        message: what was found.
        fix: what to do about it, `""` where nothing is to be done.
    """

    check: str
    level: Level
    message: str
    fix: str = ""


Check = Callable[[Any, "Package"], Iterator[Finding]]  # a Superset app in whose context it is called, and ours in it

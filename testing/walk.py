"""The way of a call through the files of the package, as somebody walks it who reads along.

A step is a file in which a function begins, after one of another file did. A **return** is a step to a file that the
walk has been in before: the fewer there are, the less a reader has to keep in mind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import superset_ext

_PACKAGE = f"{Path(superset_ext.__file__).parent}/"


@dataclass
class Walk:
    """The steps of one call in this thread.

    Attributes:
        steps: files by their path in the package.
    """

    steps: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """The files in the order in which they were first entered."""
        return list(dict.fromkeys(self.steps))

    @property
    def returns(self) -> int:
        """How often the walk comes back to a file."""
        return len(self.steps) - len(self.files)

    def _step(self, frame: FrameType, event: str, _argument: Any) -> None:
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(_PACKAGE):
            return
        file = path.removeprefix(_PACKAGE)
        if self.steps[-1:] != [file]:
            self.steps.append(file)


def walk(call: Callable[[], Any]) -> Walk:
    """Make a call, and return its walk."""
    made = Walk()
    sys.setprofile(made._step)
    try:
        call()
    finally:
        sys.setprofile(None)
    return made

"""The way of a call through the files of the package, as somebody walks it who reads along.

A step is a file in which a function begins, after one of another file did. A **return** is a step to a file that the
walk has been in before: the fewer there are, the less a reader has to keep in mind.
"""

from __future__ import annotations

import sys
import threading
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
    def stops(self) -> int:
        """Files and returns together."""
        return len(self.steps)

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


def walk(call: Callable[[], Any], thread: str | None = None) -> Walk:
    """Make a call, and return its walk.

    Args:
        thread: the name of threads that the call starts and that the walk follows, after its own.
    """
    made, followed = Walk(), Walk()

    def step(frame: FrameType, event: str, argument: Any) -> None:
        if threading.current_thread().name == thread:
            followed._step(frame, event, argument)

    sys.setprofile(made._step)
    threading.setprofile(step)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return Walk(made.steps + followed.steps)

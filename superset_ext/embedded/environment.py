"""Environment variables: what a stack's processes inherit, and what a shell is given."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

# Variables of the caller that would change what the processes are.
FOREIGN = ("SUPERSET", "FLASK", "GUNICORN", "CELERY", "PYTHON", "PG")
OURS = ("SUPERSET_EXT_", "SUPERSET_FEATURE_")


def base_environment() -> dict[str, str]:
    """The caller's, without what belongs to another Superset or Python, and with this Python's programs first."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN) or k.startswith(OURS)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def exports(variables: Mapping[str, str]) -> str:
    """`export NAME=value`, one a line, safe for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())

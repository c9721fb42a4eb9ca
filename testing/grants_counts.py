"""What a long run came to so far, in the file that `GRANTS_COUNTS` names: a run that is cut off is still known."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def write_down(**counts: Any) -> None:
    """Add a line; nothing where no file is named."""
    path = os.environ.get("GRANTS_COUNTS")
    if path:
        line = {"at": time.strftime("%H:%M:%S"), **counts}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

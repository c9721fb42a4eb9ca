from __future__ import annotations
from typing import Any
def close(cursor: Any, rule_id: int, why: str) -> None:
    pass

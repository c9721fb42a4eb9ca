"""What an entry of chart_data depends on, as the tags it carries."""

from __future__ import annotations

from typing import Any

from superset_ext.cache.scope import Scope

ANY = "any"


def tags_for(value: Any, scope: Scope | None) -> tuple[str, ...]:
    """The tags of a value: the dataset and the database it was asked of, as far as they are known.

    A value that does not say which SQL it came from carries `any`, the tag that every change stamps.
    """
    found = [] if isinstance(value, dict) and value.get("query") else [ANY]
    if scope and scope.dataset_id is not None:
        found.append(f"dataset:{scope.dataset_id}")
    if scope and scope.database_id is not None:
        found.append(f"database:{scope.database_id}")
    return tuple(found)

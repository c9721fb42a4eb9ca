"""The tables that a run of dbt has built, from the files that it leaves in its target folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from superset_ext.freshness.resolve import TableName

_BUILT = ("model", "seed", "snapshot")
_STATUS = ("success", "partial success")  # the latter of microbatches, some of which have loaded


def tables_built(text: str) -> list[TableName]:
    """The tables of DATABASE=FOLDER, as in warehouse=target.

    Raises:
        ValueError: the text is not of that form, or the folder has no results of dbt; the message says why.
    """
    database, equals, folder = text.partition("=")
    if not (database and equals and folder):
        raise ValueError(f"{text!r} is not DATABASE=FOLDER, such as warehouse=target")
    results, manifest = (_read(Path(folder) / name) for name in ("run_results.json", "manifest.json"))
    nodes = manifest.get("nodes", {})
    built = (nodes.get(result.get("unique_id")) for result in results.get("results", ()) if _is_built(result))
    return list(dict.fromkeys(_tables(database, built)))


def _is_built(result: Mapping[str, Any]) -> bool:
    return result.get("status") in _STATUS


def _tables(database: str, nodes: Iterator[Any]) -> Iterator[TableName]:
    for node in nodes:
        is_table = node and node.get("resource_type") in _BUILT and _kind(node) != "ephemeral"
        if is_table:
            yield TableName(database, str(node.get("alias") or node["name"]), node.get("schema"))


def _kind(node: Mapping[str, Any]) -> str:
    return str((node.get("config") or {}).get("materialized", ""))


def _read(file: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(file.read_text())
    except FileNotFoundError:
        raise ValueError(f"{file} is not there; name the target folder of a dbt run") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if not isinstance(read, Mapping):
        raise ValueError(f"{file} is not a file of dbt")
    return read

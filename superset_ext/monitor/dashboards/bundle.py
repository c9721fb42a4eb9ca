"""The built-in dashboards as files: the folder `assets`, a Superset export bundle with fixed UUIDs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from superset_ext.errors import SchemaError

try:  # libyaml reads the folder in a tenth of the time, where PyYAML was built with it
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

ASSETS = Path(__file__).resolve().parent / "assets"
# In the order in which they depend on each other.
Kind = Literal["database", "dataset", "chart", "dashboard"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_NAMES = {"database": "database_name", "dataset": "table_name", "chart": "slice_name", "dashboard": "dashboard_title"}


@dataclass(frozen=True)
class Asset:
    """One file of the bundle.

    Attributes:
        config: what the file says, as Superset's importers read it; they change what they are given, so take `copy`.
        digest: SHA-256 of the file.
    """

    kind: Kind
    uuid: str
    name: str
    config: dict[str, Any]
    digest: str

    @property
    def parent(self) -> str | None:
        """The UUID of the database of a dataset, or of the dataset of a chart."""
        return self.config.get("database_uuid") or self.config.get("dataset_uuid")

    def copy(self) -> dict[str, Any]:
        """The config, as the caller's own."""
        return json.loads(json.dumps(self.config))  # type: ignore[no-any-return]


@lru_cache
def assets(folder: Path = ASSETS) -> tuple[Asset, ...]:
    """All assets: databases, then datasets, charts and dashboards.

    Raises:
        SchemaError: the folder is not there.
    """
    files = tuple(_read(kind, path) for kind in KINDS for path in sorted((folder / f"{kind}s").rglob("*.yaml")))
    if not files:
        raise SchemaError(f"no dashboards in {folder}; mount the package's folder superset_ext whole")
    return files


def _read(kind: Kind, path: Path) -> Asset:
    text = path.read_bytes()
    config = yaml.load(text, Loader=Loader)
    return Asset(kind, config["uuid"], config[_NAMES[kind]], config, hashlib.sha256(text).hexdigest())

"""A dashboard that has what a cache warmer gets wrong, from the plain files of an export in `tests/data`."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import yaml

from testing.serving import Client

DATA = Path(__file__).parent / "data"


def install(client: Client, name: str = "board") -> int:
    """Import the bundle `name`, and return its dashboard's id.

    What an earlier run left is removed first: an import replaces a dashboard, but neither the charts nor the
    datasets that it finds, so the server would not have what the files say.
    """
    _clear(client, name)
    client.post(
        "/api/v1/dashboard/import/",
        files={"formData": (f"{name}.zip", bundle(name), "application/zip")},
        data={"overwrite": "true"},
    ).raise_for_status()
    (dashboard,) = _uuids(name, "dashboards")
    installed = _find(client, "dashboard", dashboard)
    assert installed is not None
    return installed


def remove(client: Client, dashboard_id: int) -> None:
    """Delete a dashboard that `install` made, with its charts and virtual datasets."""
    answer = client.get(f"/api/v1/dashboard/{dashboard_id}")
    answer.raise_for_status()
    _clear(client, answer.json()["result"]["slug"])


def bundle(name: str = "board") -> bytes:
    """The folder as the ZIP that Superset imports."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted((DATA / name).rglob("*.yaml")):
            archive.write(path, Path(name) / path.relative_to(DATA / name))
    return packed.getvalue()


def _clear(client: Client, name: str) -> None:
    """Delete what is there of a bundle, but for what is Superset's own: the database and its tables."""
    for kind in ("dashboard", "chart", "dataset"):
        for uuid in _uuids(name, f"{kind}s"):
            if (number := _find(client, kind, uuid)) is not None:
                client.http.delete(f"{client.base}/api/v1/{kind}/{number}", timeout=120).raise_for_status()


def _uuids(name: str, folder: str) -> list[str]:
    """Of the files in a folder of a bundle, the physical datasets left out."""
    loaded = [yaml.safe_load(path.read_text()) for path in sorted((DATA / name / folder).rglob("*.yaml"))]
    return [item["uuid"] for item in loaded if "table_name" not in item or item["sql"]]


def _find(client: Client, kind: str, uuid: str) -> int | None:
    answer = client.get(f"/api/v1/{kind}/{uuid}")
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    return int(answer.json()["result"]["id"])

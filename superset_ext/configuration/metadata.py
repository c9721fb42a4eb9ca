"""Whether the metadata database can be reached at all: without it Superset ends in 300 lines of traceback."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from superset_ext.errors import SupersetExtError

URI = "SQLALCHEMY_DATABASE_URI"
SECONDS = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306}


class MetadataAway(SupersetExtError):
    """Nothing answers where the metadata database should be."""


def reach(own: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Look for the server of the metadata database; one that a config reaches in a way of its own is not looked for.

    Args:
        own: names of the config.
        made: names that the package adds to it.

    Raises:
        MetadataAway: nothing listens there, or there is no such host.
    """
    options = own.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
    uri = os.environ.get(f"SUPERSET__{URI}") or made.get(URI) or own.get(URI)
    if "creator" in options or not isinstance(uri, str):
        return
    host, port = _server(uri)
    if host is None or port is None:
        return
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise MetadataAway(
            f"the metadata database at {host}:{port} does not answer ({reason}), and Superset needs it to start;"
            f" check {URI} and that server"
        ) from None


def _server(uri: str) -> tuple[str | None, int | None]:
    """Host and port of a URL; `None` for a socket, a file, several hosts, or a kind whose port is not known."""
    try:
        parts = urlsplit(uri)
        return parts.hostname, parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:
        return None, None

"""Whether the metadata database can be reached at all: without it Superset ends in 300 lines of traceback."""

from __future__ import annotations

import os
import socket
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

from superset_ext.errors import SupersetExtError

URI = "SQLALCHEMY_DATABASE_URI"
SECONDS = 5.0
# What says where a server is beside the URL: a function, or an argument of the driver's.
_PLACES = frozenset({"creator", "host", "hostaddr", "port", "service", "unix_socket"})
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


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
    host, port = _server(_uri(own, made), own.get("SQLALCHEMY_ENGINE_OPTIONS") or {})
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


def _uri(own: Mapping[str, Any], made: Mapping[str, Any]) -> Any:
    """The URL that Superset will use; `None` where that is not known yet.

    A config that star-imports another one, which ends with our line, may name its database further down.
    """
    is_settled = not isinstance(own, ChainMap) or len(own.maps) < 2 or URI in own.maps[-1]
    return os.environ.get(f"SUPERSET__{URI}") or ((made.get(URI) or own.get(URI)) if is_settled else None)


def _server(uri: Any, options: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """Host and port; `None` for a socket, a file, several hosts, or where the URL does not say which.

    SQLAlchemy reads it, as for Superset: other parsers end a host at a `/` or `#` in its password.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri or "")
    except (ArgumentError, ValueError):
        return None, None
    elsewhere = _PLACES & {*options, *url.query, *(options.get("connect_args") or {})}
    if elsewhere or url.host is None or "," in url.host:
        return None, None
    return url.host, url.port or _PORTS.get(url.get_backend_name())

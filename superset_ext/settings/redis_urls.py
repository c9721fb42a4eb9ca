"""URLs of Redis and Valkey: single servers, Sentinel and Cluster."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator

REDIS_SCHEMES = (
    "redis",
    "rediss",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


def _redis_url(value: str) -> str:
    parts = _split(value)
    if "://" not in value:
        raise ValueError("is not a URL; write it as redis://host:6379")
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError(f"has the scheme {parts.scheme!r}; use one of {', '.join(REDIS_SCHEMES)}")
    if not parts.netloc:
        raise ValueError("names no host; write it as redis://host:6379")
    return value


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its message may repeat the password
        raise ValueError(
            "is not a URL; write it as redis://:password@host:6379, special characters of the password as %XX"
        ) from None


RedisUrl = Annotated[str, AfterValidator(_redis_url)]


def with_database(url: str, db: int) -> str:
    """`url` with the database number `db`; a cluster has only one, and a Sentinel URL keeps its service name."""
    parts = urlsplit(url)
    if "+cluster" in parts.scheme:
        return url
    if "+sentinel" in parts.scheme:
        service = parts.path.strip("/").split("/")[0] or "mymaster"
        return urlunsplit(parts._replace(path=f"/{service}/{db}"))
    return urlunsplit(parts._replace(path=f"/{db}"))


def with_certificate_check(url: str) -> str:
    """`url` with `ssl_cert_reqs=required` where it is a TLS URL without that option: Celery refuses one."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme != "rediss" or "ssl_cert_reqs" in query:
        return url
    return urlunsplit(parts._replace(query=urlencode({**query, "ssl_cert_reqs": "required"})))


def server_and_database(url: str) -> str:
    """The part of a URL that says where its keys lie, without credentials and options."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].lower()
    return f"{hosts}{parts.path.rstrip('/') or '/0'}"

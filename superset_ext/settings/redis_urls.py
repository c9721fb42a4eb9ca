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

_BROKERS = ("redis", "rediss", "amqp", "amqps", "pyamqp")


def _redis_url(value: str) -> str:
    parts = _split(value)
    if "://" not in value:
        raise ValueError("is not a URL; write it as redis://host:6379")
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError(f"has the scheme {parts.scheme!r}; use one of {', '.join(REDIS_SCHEMES)}")
    refuse_misread(value)
    if not parts.netloc:
        raise ValueError("names no host; write it as redis://host:6379")
    return value


def refuse_misread(url: str) -> None:
    """Raise `ValueError` where a part of a password would be taken for another part of a URL; none of it is repeated.

    With `/`, `?` or `#` in a password, the host ends there, and what follows has the `@`.
    """
    parts = _split(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("has a password with a character of its own meaning; write / ? # as %2F %3F %23, @ as %40")
    for host in parts.netloc.rpartition("@")[2].split(","):
        try:
            urlsplit(f"//{host}").port  # noqa: B018
        except ValueError:
            raise ValueError(
                "has no valid port; write it as redis://:password@host:6379, special characters of the password as %XX"
            ) from None


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its message may repeat the password
        raise ValueError(
            "is not a URL; write it as redis://:password@host:6379, special characters of the password as %XX"
        ) from None


def _broker_url(value: str) -> str:
    if _split(value).scheme in _BROKERS:
        refuse_misread(value)
    return value


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
BrokerUrl = Annotated[str, AfterValidator(_broker_url)]


def named_database(url: str) -> int | None:
    """The database number that a URL names; `None` where it names none, is a cluster's, or cannot be read."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    names = [name for name in parts.path.split("/") if name]
    if "+cluster" in parts.scheme:
        return None
    if "+sentinel" in parts.scheme:
        names = names[1:]
    number = names[0] if names else dict(parse_qsl(parts.query)).get("db", "")
    return int(number) if number.isascii() and number.isdigit() else None


def with_database(url: str, db: int) -> str:
    """`url` with the database number `db`; a cluster has only one, and a Sentinel URL keeps its service name."""
    parts = urlsplit(url)
    if "+cluster" in parts.scheme:
        return url
    if "+sentinel" in parts.scheme:
        service = parts.path.strip("/").split("/")[0] or "mymaster"
        return urlunsplit(parts._replace(path=f"/{service}/{db}"))
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] != "db"])
    return urlunsplit(parts._replace(path=f"/{db}", query=query))


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

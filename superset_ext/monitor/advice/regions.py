"""Regions and their servers: too small for what is read from them, never read, stored larger than necessary, or evicted
by another rule. What is wrong with a server is found once, however many regions it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from superset_ext.cache.redis.server_info import ServerInfo
from superset_ext.core.sql_folder import query_text
from superset_ext.monitor.advice.look import Look, Recommendation, brings
from superset_ext.monitor.log.servers import server_of
from superset_ext.settings import PREFIX, Compression, Region

EVICTED_SHARE = 0.01  # of requests: one in a hundred that finds its answer thrown out is seen by people
EVICTED_LEAST = 20  # a handful may be somebody's FLUSHDB
GROWTH = 1.5  # times; more can only be known by looking again
UNREAD_SETS = 100  # stored in a week, below which nothing can be said
UNREAD_SHARE = 0.01  # hits for one stored, up to which the region is for nobody
SMALLEST_TIMEOUT = 60
BYTES_A_DAY = 10 * 2**20  # written uncompressed: below, compression saves nothing that anybody would miss
# What zstd is taken to leave of entries above a kilobyte, which mostly repeat themselves: an assumption.
COMPRESSED_TO = 0.5
_Row = Mapping[str, Any]


def too_small(look: Look) -> list[Recommendation]:
    """Servers that evict, or do not take, what people come back for."""
    asked = look.ask(query_text("region_pressure"))
    pressed = {row["region"]: row for row in asked.rows if _is_pressed(row)}
    return [
        _too_small(look, server, [pressed[region] for region in regions], asked.sql)
        for server, regions in _by_server(look, pressed)
    ]


def _is_pressed(row: _Row) -> bool:
    lost = row["miss_evicted"] + row["sets_memory"]
    is_full = row["evictions_of_servers"] or row["sets_memory"]
    return bool(is_full and lost >= max(EVICTED_LEAST, EVICTED_SHARE * row["requests"]))


def _too_small(look: Look, server: str, rows: Sequence[_Row], sql: str) -> Recommendation:
    finding = "; ".join(
        f"{row['region']}: {row['miss_evicted']} of {row['requests']} requests did not find their answer any more, and "
        f"{row['sets_memory']} answers were not stored, because the server's memory is full"
        for row in rows
    )
    seconds = sum((row["miss_evicted"] + row["sets_memory"]) * row["seconds_an_answer"] for row in rows) / look.days
    subject, name = _subject(server, [row["region"] for row in rows])
    return Recommendation(
        "region_too_small", subject, name, finding, _together(rows), sql, _room(look, rows), seconds, brings(seconds)
    )


def _room(look: Look, rows: Sequence[_Row]) -> str:
    info = look.facts.servers.get(rows[0]["region"])
    now = (info.maxmemory or info.used_memory) if info else rows[0]["memory_peak"] or 0
    mib = max(1, round(now * GROWTH / 2**20))
    own = " or ".join(f"{PREFIX}{row['region'].upper()}_URL" for row in rows)
    return (
        f"maxmemory {mib}mb in the server's configuration (now {now / 2**20:.0f} MiB), "
        f"or give the region a server of its own: {own}"
    )


def _by_server(look: Look, regions: Iterable[str]) -> list[tuple[str, list[str]]]:
    """The regions by their server: what is wrong with one is wrong once."""
    servers: dict[str, list[str]] = {}
    for region in sorted(regions):
        servers.setdefault(server_of(region, look.settings), []).append(region)
    return sorted(servers.items())


def _subject(server: str, regions: Sequence[str]) -> tuple[str, str]:
    """What a recommendation is about, and its name: the region, or the server of several."""
    return (f"region:{regions[0]}", regions[0]) if len(regions) == 1 else (f"server:{server}", server)


def _together(rows: Sequence[_Row]) -> _Row:
    """The figures of one region, or the sums over several."""
    if len(rows) == 1:
        return rows[0]
    sums = {name: sum(row[name] for row in rows) for name in ("requests", "hits", "miss_evicted", "sets_memory")}
    return {"regions": [row["region"] for row in rows], **sums}


def unread(look: Look) -> list[Recommendation]:
    """Regions that are written and hardly ever read."""
    asked = look.ask(query_text("region_pressure"))
    return [
        _unread(look, row, asked.sql)
        for row in asked.rows
        if row["sets"] >= UNREAD_SETS and row["hits"] <= UNREAD_SHARE * row["sets"]
    ]


def _unread(look: Look, row: _Row, sql: str) -> Recommendation:
    own = look.settings.region(row["region"]).timeout
    shorter = max(SMALLEST_TIMEOUT, own // 4)
    finding = f"{row['sets']} values were stored and {row['hits']} read"
    mib = row["bytes_written"] / look.days / 2**20
    fix = f"{PREFIX}{row['region'].upper()}_TIMEOUT={shorter} (now {own})"
    return _of(
        row, sql, "region_never_read", finding, fix, 0.0, f"room for what is read: {mib:.1f} MiB are written a day"
    )


def compression(look: Look) -> list[Recommendation]:
    """Regions that would hold more of what is read if they were compressed, or that are so twice."""
    asked = look.ask(query_text("region_pressure"))
    return [recommendation for row in asked.rows for recommendation in _compression(look, row, asked.sql)]


def _compression(look: Look, row: _Row, sql: str) -> Iterator[Recommendation]:
    region = row["region"]
    own = look.settings.region(region)
    if region == Region.QUERY_RESULTS:
        if own.compression != "none" and row["sets"]:
            finding = f"SQL Lab's results come compressed, and are compressed again by {own.compression}"
            yield _compressed(row, sql, finding, "none", 0.0, "processor time; the entries get no larger")
        return
    a_day = row["bytes_written"] / look.days
    size = row["bytes_written"] / max(row["sets"], 1)
    if own.compression == "none" and a_day >= BYTES_A_DAY and size >= own.compression_min_size:
        finding = f"{a_day / 2**20:.0f} MiB a day are stored as they are, {size / 1024:.0f} KiB each in the mean"
        seconds = row["miss_evicted"] * row["seconds_an_answer"] / look.days * (1 - COMPRESSED_TO)
        fewer = f"{a_day * (1 - COMPRESSED_TO) / 2**20:.0f} MiB a day less to store (estimated)"
        yield _compressed(row, sql, finding, "zstd", seconds, brings(seconds) if seconds >= 1 else fewer)


def _compressed(row: _Row, sql: str, finding: str, to: Compression, seconds: float, what: str) -> Recommendation:
    return _of(row, sql, "compression", finding, f"{PREFIX}{row['region'].upper()}_COMPRESSION={to}", seconds, what)


def policies(look: Look) -> list[Recommendation]:
    """Servers that may evict the marks of changes, or take nothing new when they are full."""
    asked = look.ask(query_text("region_pressure"))
    rows = {row["region"]: row for row in asked.rows}
    wrong: dict[str, dict[str, ServerInfo]] = {}
    for region, info in look.facts.servers.items():
        if info and not info.policy.startswith("volatile-"):
            wrong.setdefault(info.policy, {})[region] = info
    return [
        _policy(
            look, server, [rows.get(region, {"region": region}) for region in regions], infos[regions[0]], asked.sql
        )
        for _, infos in sorted(wrong.items())
        for server, regions in _by_server(look, infos)
    ]


def _policy(look: Look, server: str, rows: Sequence[_Row], info: ServerInfo, sql: str) -> Recommendation:
    evicts = info.policy.startswith("allkeys-")
    why = (
        "may evict the marks of changes, after which every chart is asked anew"
        if evicts
        else "takes nothing new when it is full"
    )
    regions = [row["region"] for row in rows]
    subject, name = _subject(server, regions)
    numbers = {"policy": info.policy, "maxmemory": info.maxmemory, "used_memory": info.used_memory}
    numbers |= {"regions": regions} if len(rows) > 1 else rows[0]
    seconds = sum(row.get("sets_memory", 0) * row.get("seconds_an_answer", 0.0) for row in rows) / look.days
    what = "charts that are not all asked anew at once" if evicts else brings(seconds)
    finding = f"the server of {', '.join(regions)} evicts by {info.policy or 'an unknown policy'}: it {why}"
    fix = "maxmemory-policy volatile-lru in the server's configuration"
    return Recommendation("eviction_policy", subject, name, finding, numbers, sql, fix, seconds, what)


def _of(row: _Row, sql: str, kind: str, finding: str, fix: str, seconds: float, what: str) -> Recommendation:
    region = row["region"]
    return Recommendation(kind, f"region:{region}", region, f"{region}: {finding}", row, sql, fix, seconds, what)

"""Entries of the example dashboards' own answers, beside stock's: bytes, and time to encode and decode.

Run with `python -m bench.captured`. A browser opens the nine example dashboards on an embedded
stack (TEST_STACK names one that runs already), and what Superset has stored for their charts is then
encoded and decoded in both ways, in turn.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import redis

from bench.codec import WAYS, compare
from bench.faults import stack
from superset_ext.cache.envelope import unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.errors import CodecError, EnvelopeError
from testing.browser import Visit, browser
from testing.stack import RunningStack

PREFIX = "chart_"
REPEAT = 5


def _opened(running: RunningStack) -> None:
    """Open every dashboard once, so that every chart has an entry."""
    with browser() as chromium:
        visit = Visit(chromium.new_page(viewport={"width": 1400, "height": 1000}), running.url)
        visit.login(running.user, running.password)
        for dashboard in visit.dashboards():
            visit.open(dashboard["id"])


def _values(running: RunningStack) -> list[Any]:
    """What lies in the region of the charts, decoded."""
    ring = KeyRing(running.env["SUPERSET_SECRET_KEY"])
    client: Any = redis.Redis.from_url(f"{running.redis_url}/3")
    values = []
    for key in client.scan_iter(f"{PREFIX}*"):
        if not key.startswith(f"{PREFIX}~".encode()) and (data := client.get(key)):
            with suppress(EnvelopeError, CodecError):
                values.append(unpack(data, key=key.decode(), ring=ring, max_decoded=1 << 30)[1])
    return values


def run() -> dict[str, Any]:
    """Sums over all entries by way, and ours as shares of stock."""
    with stack() as running:
        _opened(running)
        values = _values(running)
    compared = [compare(value, REPEAT) for value in values]
    names = ("encode_us", "decode_us", "bytes")
    sums = {way: {name: round(sum(c[way][name] for c in compared)) for name in names} for way in WAYS}
    times = {way: row["encode_us"] + row["decode_us"] for way, row in sums.items()}
    return {
        "entries": len(values),
        "sums": sums,
        "bytes_share": round(sums["ours"]["bytes"] / sums["stock"]["bytes"], 3),
        "time_share": round(times["ours"] / times["stock"], 3),
    }


def main() -> None:
    """Print a table and the JSON."""
    result = run()
    print(f"{result['entries']} entries of the example dashboards, sums")
    print(f"{'way':<8}{'encode µs':>12}{'decode µs':>12}{'bytes':>12}")
    for way, row in result["sums"].items():
        print(f"{way:<8}{row['encode_us']:>12}{row['decode_us']:>12}{row['bytes']:>12}")
    print(f"ours of stock: {result['bytes_share']:.0%} of the bytes, {result['time_share']:.0%} of the time")
    print(json.dumps({"captured": result}))


if __name__ == "__main__":
    main()

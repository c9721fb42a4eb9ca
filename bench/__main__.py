"""`make bench`: every measurement, one after the other, each as a table and as a line of JSON."""

from __future__ import annotations

from importlib import import_module

PARTS = (
    "codec",
    "captured",
    "sizing",
    "reads",
    "misses",
    "sharing",
    "freshness",
    "recorder",
    "faults",
    "planning",
    "warm_load",
    "warming",
    "watch",
    "commits",
    "rollup",
    "tuning",
    "anomaly",
)

for name in PARTS:
    part = import_module(f"bench.{name}")
    print(f"\n{name}: {(part.__doc__ or '').strip().splitlines()[0]}\n", flush=True)
    part.main()

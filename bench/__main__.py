"""`make bench`: every measurement, one after the other, each as a table and as a line of JSON.

`python -m bench reads misses` runs these two alone, in one run. `python -m bench.watch ddl` and the like take words of
a part's own.
"""

from __future__ import annotations

import sys
from importlib import import_module

PARTS = (
    "codec",
    "captured",
    "sizing",
    "reads",
    "hits",
    "refused",
    "misses",
    "opening",
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
    "rewrites",
    "matching",
    "public_bi",
    "public_bi_proposed",
    "public_bi_findings",
    "automatic",
    "plan_taking",
    "indexes",
    "index_trial",
    "estimates",
    "workloads",
    "aggregates",
    "star",
    "star_charts",
    "nine",
)

names = sys.argv[1:] or PARTS
unknown = [name for name in names if name not in PARTS]
if unknown:
    sys.exit(f"superset_ext: no such measurement: {', '.join(unknown)}; there are: {', '.join(PARTS)}")
sys.argv[1:] = []  # which a part would take for words of its own
for name in names:
    part = import_module(f"bench.{name}")
    print(f"\n{name}: {(part.__doc__ or '').strip().splitlines()[0]}\n", flush=True)
    part.main()

"""Tuning over a replayed week: database seconds saved with it and without, by the same requests and changes.

Run with `python -m bench.tuning`; it starts a PostgreSQL of its own. What is real and what is made up of the week is
said in `testing/replay.py`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from superset_ext.embedded.postgres import Postgres
from testing.replay import Totals, replayed, tuning


def run() -> dict[str, Totals]:
    """The same week without tuning, and with."""
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder) / "pg").start()
        try:
            return {
                name: replayed(postgres.create_database(f"tuning_{name}"), tuning(auto_apply=auto))
                for name, auto in (("without", False), ("with", True))
            }
        finally:
            postgres.stop()


def main() -> None:
    """Print a table and a line of JSON."""
    weeks = run()
    print("tuning   requests  database seconds: asked for    saved   share   outdated answers")
    for name, week in weeks.items():
        share = week.saved / week.demanded
        print(
            f"{name:8} {week.requests:>8} {week.demanded:>28.0f} {week.saved:>8.0f} {share:>7.1%} {week.outdated:>18}"
        )
    for done in weeks["with"].done:
        print(f"  {done.action:9} {done.setting} of dataset {done.dataset_id}: {done.old} -> {done.new}; {done.reason}")
    rows = {
        name: {
            "requests": week.requests, "demanded_s": round(week.demanded), "saved_s": round(week.saved),
            "saved_share": round(week.saved / week.demanded, 4), "outdated": week.outdated,
            "kept": sum(done.action == "kept" for done in week.done),
            "reverted": sum(done.action == "reverted" for done in week.done),
        }
        for name, week in weeks.items()
    }  # fmt: skip
    print(json.dumps({"tuning": rows}))


if __name__ == "__main__":
    main()

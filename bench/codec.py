"""Entries against stock's: time to encode and decode, and bytes stored.

Stock is what cachelib's Redis backend stores, `b"!"` and a pickle. Ours is the whole entry: codec,
zstd at level 1, signature. Both are timed in turns, round by round, in one process, in CPU time of
the thread, so that neighbours count for little; medians. `python -m bench.codec` prints a table and JSON.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from decimal import Decimal
from statistics import median
from time import thread_time_ns
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from superset_ext.cache.envelope import pack, unpack
from superset_ext.cache.keyring import KeyRing

RING = KeyRing("a secret of the bench")
ROUNDS = 15
LARGE_ROWS = 100_000
GENRES = ("Action", "Sports", "Misc", "Role-Playing", "Shooter", "Adventure", "Racing", "Platform", "Simulation")

LARGE = f"""{LARGE_ROWS} rows; equal strings are one object, as Superset's way through Arrow leaves them:
id: int64, random below 10**7; amount: float64 of two places, below 10**4; genre: str, one of
{len(GENRES)}; email: str, 10**6 possible; at: datetime64[ns], random seconds of one year."""


def large(last: str) -> pd.DataFrame:
    """100,000 × 6: see `LARGE`; the last column is of `bool`, `Decimal` (two places) or full-length `float`."""
    some = np.random.default_rng(1)
    rows = LARGE_ROWS
    cents = some.integers(0, 10**6, rows)
    lasts: dict[str, Callable[[], Any]] = {
        "bool": lambda: cents % 3 == 0,
        "Decimal": lambda: [Decimal(int(number)) / 100 for number in cents],
        "float": lambda: some.random(rows),
    }
    return pd.DataFrame(
        {
            "id": some.integers(0, 10**7, rows),
            "amount": cents / 100,
            "genre": [GENRES[place] for place in some.integers(0, len(GENRES), rows)],
            "email": [f"customer{number}@example.com" for number in some.integers(0, 10**6, rows)],
            "at": np.datetime64("2026-01-01", "ns") + some.integers(0, 31_536_000, rows).astype("m8[s]"),
            "last": pd.Series(lasts[last](), dtype=object if last == "Decimal" else None),
        }
    )


def chart(rows: int, sums: str) -> dict[str, Any]:
    """What Superset stores for a chart of `rows` rows: a time, a name and a sum (`int64`, `Decimal` or a full-length
    `float64`, which nothing compresses), and all that goes with them.
    """
    some = np.random.default_rng(rows)
    numbers = some.integers(0, 10**6, rows)
    kinds: dict[str, Any] = {
        "int": numbers,
        "Decimal": pd.Series([Decimal(int(number)) / 100 for number in numbers], dtype=object),
        "float": some.random(rows) * 1000,
    }
    frame = pd.DataFrame(
        {
            "__timestamp": pd.date_range("2020-01-01", periods=rows).astype("datetime64[us]"),
            "name": [GENRES[place] for place in some.integers(0, len(GENRES), rows)],
            "SUM(sales)": kinds[sums],
        }
    )
    query = "SELECT DATE_TRUNC('day', ds) AS __timestamp, name AS name, SUM(sales) FROM public.video_game_sales\n"
    return {
        "df": frame,
        "query": query + "WHERE genre IN ('Action', 'Sports') GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10000;\n\n",
        "applied_template_filters": [],
        "applied_filter_columns": ["genre"],
        "rejected_filter_columns": [],
        "annotation_data": {},
        "sql_rowcount": rows,
        "from_dttm": None,
        "to_dttm": pd.Timestamp("2026-11-21").to_pydatetime(),
        "label_map": {name: [name] for name in frame.columns},
    }


def stock_encode(value: Any) -> bytes:
    """As cachelib's `RedisSerializer`."""
    return b"!" + pickle.dumps(value)


def stock_decode(data: bytes) -> Any:
    """As cachelib's `RedisSerializer`."""
    return pickle.loads(data[1:])


def ours_encode(value: Any) -> bytes:
    """As the chart data region does it, by default settings."""
    return pack(
        value, key="k" * 32, ring=RING, as_of_us=1, tags=["db:1", "public.video_game_sales"], cost_ms=9.5,
        run_id="r" * 40, stored_at_us=2, fresh_until_us=3, compression="zstd", level=1, min_size=1024,
    )  # fmt: skip


def ours_decode(data: bytes) -> Any:
    """As the chart data region does it, by default settings."""
    return unpack(data, key="k" * 32, ring=RING, max_decoded=1 << 29)[1]


def arrow_encode(value: Any) -> bytes:
    """The frame alone as Arrow's IPC stream with zstd, unsigned: the alternative that was not taken."""
    table = pa.Table.from_pandas(value["df"] if isinstance(value, dict) else value, nthreads=1)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1), use_threads=False)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def arrow_decode(data: bytes) -> Any:
    """The frame of `arrow_encode`."""
    return pa.ipc.open_stream(data).read_all().to_pandas(use_threads=False)


WAYS: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "stock": (stock_encode, stock_decode),
    "ours": (ours_encode, ours_decode),
    "arrow": (arrow_encode, arrow_decode),
}


def compare(value: Any, repeat: int) -> dict[str, Any]:
    """Of each way: `encode_us` and `decode_us`, CPU microseconds an entry, and `bytes`; and ours as shares of stock."""
    entries = {way: encode(value) for way, (encode, _) in WAYS.items()}
    spent: dict[str, dict[str, list[float]]] = {way: {"encode_us": [], "decode_us": []} for way in WAYS}
    for _ in range(ROUNDS):
        for way, (encode, decode) in WAYS.items():
            spent[way]["encode_us"].append(_timed(encode, value, repeat))
            spent[way]["decode_us"].append(_timed(decode, entries[way], repeat))
    comparison: dict[str, Any] = {
        way: {name: round(median(times), 1) for name, times in measured.items()} | {"bytes": len(entries[way])}
        for way, measured in spent.items()
    }
    ours, stock = comparison["ours"], comparison["stock"]
    comparison["bytes_share"] = round(ours["bytes"] / stock["bytes"], 3)
    comparison["time_share"] = round(_total(ours) / _total(stock), 3)
    return comparison


def _timed(work: Callable[[Any], Any], value: Any, repeat: int) -> float:
    begun = thread_time_ns()
    for _ in range(repeat):
        work(value)
    return (thread_time_ns() - begun) / repeat / 1000


def _total(measured: dict[str, float]) -> float:
    return measured["encode_us"] + measured["decode_us"]


def run() -> dict[str, Any]:
    """All comparisons by name, and what the large frame is."""
    charts = {
        f"chart {rows} x 3, {sums}": compare(chart(rows, sums), 50)
        for sums in ("int", "Decimal", "float")
        for rows in (10, 100, 1000)
    }
    frames = {f"{LARGE_ROWS} x 6, {last}": compare(large(last), 1) for last in ("bool", "Decimal", "float")}
    return {"large": " ".join(LARGE.split()), "results": charts | frames}


def table(comparison: dict[str, Any]) -> str:
    """The figures as lines of text."""
    lines = [f"{'':26}{'way':>7}{'encode µs':>12}{'decode µs':>12}{'bytes':>12}   of stock: bytes  time"]
    for name, result in comparison["results"].items():
        for way in WAYS:
            one = result[way]
            share = f"{result['bytes_share']:>18.0%}{result['time_share']:>6.0%}" if way == "ours" else ""
            lines.append(f"{name:26}{way:>7}{one['encode_us']:>12}{one['decode_us']:>12}{one['bytes']:>12}{share}")
    return "\n".join(lines)


def main() -> None:
    """Print the table and the JSON."""
    measured = run()
    print(table(measured))
    print(json.dumps({"codec": measured}))


if __name__ == "__main__":
    main()

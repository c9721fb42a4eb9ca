"""With the package, every chart answers what stock Superset answers, from a miss and from a hit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testing.browser import Answer
from testing.serving import Client, exact, web
from tests.browser.conftest import Passes

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(900)]
FIELDS = ("data", "colnames", "coltypes")

STOCK = """
DATA_CACHE_CONFIG = {{
    "CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": "{redis}",
    "CACHE_KEY_PREFIX": "stock_", "CACHE_DEFAULT_TIMEOUT": 900,
}}
RATELIMIT_ENABLED = False
"""


def fields(text: str) -> list[dict[str, Any]]:
    """What a chart shows, of each of its results, with numbers as they are written."""
    payload = exact(text)
    results = payload.get("result", [payload])
    return [{name: result.get(name) for name in FIELDS} for result in results]


def test_every_captured_request_has_stocks_answer(
    passes: Passes, superset_stack: Any, fresh_valkey: Any, tmp_path: Path
) -> None:
    """Intent: invariant 1; a codec that changes a type, or an entry of another key, shows here."""
    # Superset's chord chart puts its nodes in the order of a set of strings, which differs by process.
    env = superset_stack.env | {"PYTHONHASHSEED": "0"}
    own = {"SUPERSET_EXT_REDIS_URL": fresh_valkey().url, "SUPERSET_EXT_RECORDER": "false"}
    bare = {k: v for k, v in env.items() if not k.startswith("SUPERSET_EXT_")}
    bare["SUPERSET__SQLALCHEMY_DATABASE_URI"] = env["SUPERSET_EXT_DATABASE_URL"]
    configs = {"ours": "from superset_ext.config import *\n", "stock": STOCK.format(redis=fresh_valkey().url)}
    for name, text in configs.items():
        (tmp_path / f"{name}_config.py").write_text(text)
    with (
        web(tmp_path / "stock_config.py", bare) as stock_url,
        web(tmp_path / "ours_config.py", env | own) as our_url,
    ):
        stock, ours = (Client(url, superset_stack.user, superset_stack.password) for url in (stock_url, our_url))
        misses = 0
        for asked in passes.first:
            stock_miss, stock_hit, miss, hit = (answer(c, asked) for c in (stock, stock, ours, ours))
            expected = fields(stock_miss)
            assert fields(stock_hit) == expected, f"stock disagrees with itself on chart {asked.chart_id}"
            assert fields(miss) == expected, f"chart {asked.chart_id}, from a miss"
            assert fields(hit) == expected, f"chart {asked.chart_id}, from a hit"
            assert cached(hit) <= {True}
            misses += cached(miss) == {False}
    # Some charts ask what another one has asked before; stock would hit there too.
    assert misses > 0.9 * len(passes.first)


def cached(text: str) -> set[bool]:
    """Whether the results that a query stands behind were cached."""
    payload = exact(text)
    results = payload.get("result", [payload])
    return {bool(r.get("is_cached")) for r in results if r.get("cache_key") and r.get("query")}


def answer(client: Client, asked: Answer) -> str:
    """The text of the answer to a captured request, asked again."""
    response = client.ask(asked.url, asked.body, asked.content_type)
    assert response.status_code == 200, response.text[:300]
    return response.text

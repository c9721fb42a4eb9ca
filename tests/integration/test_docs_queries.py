"""The queries of the pages run as they stand, on a new database of the log with the search path of any other one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "docker/README.md"]
ELSEWHERE = "superset_ext_watch."  # functions of a watched source, which test_security_page.py runs


def queries() -> Iterator[tuple[str, str]]:
    """Each query that a page gives, in a block of SQL or to psql, with the name of the page."""
    for page in PAGES:
        text = page.read_text()
        given = re.findall(r"^```sql\n(.*?)^```", text, re.M | re.S)
        given += re.findall(r'psql\b[^`]*?(?:-c|--command)[ \\\n]+"([^"]+)"', text)
        for statement in given:
            if statement.lstrip().upper().startswith(("SELECT", "WITH")) and ELSEWHERE not in statement:
                yield page.name, statement


def test_the_queries_are_found() -> None:
    """Intent: a page that writes its queries in another way does not leave the next test without any."""
    assert {name for name, _ in queries()} == {"README.md", "monitoring.md"}
    assert len(list(queries())) >= 4


@pytest.mark.parametrize("path", ['"$user", public', "public", ""], ids=["default", "public", "none"])
def test_they_run_as_they_stand(views_url: str, path: str) -> None:
    """Intent: whoever pastes a query of a page needs no search path that no page has told of."""
    with closing(psycopg2.connect(views_url)) as connection, connection.cursor() as cursor:
        for page, statement in queries():
            cursor.execute("SELECT set_config('search_path', %s, false)", (path,))
            cursor.execute(statement)
            assert cursor.description, (page, statement)

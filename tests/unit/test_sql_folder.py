"""Where the package finds its SQL: mounted, and installed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from superset_ext.core.sql_folder import sql_folder

ROOT = Path(__file__).resolve().parents[2]
_MADE = re.compile(r"CREATE (?:OR REPLACE )?(?:FUNCTION|AGGREGATE|PROCEDURE) superset_ext\.(\w+)")
_NO_USE = re.compile(r"\s*(?:CREATE|COMMENT|--)")
FOR_LATER_FILES = "add_miss_reason"  # which a schema file calls when there is a new reason


def test_a_mounted_package_has_it_beside_itself(tmp_path: Path) -> None:
    """Intent: `superset_ext/` and `sql/` are mounted side by side, wherever that is."""
    assert sql_folder(tmp_path / "superset_ext") == tmp_path / "sql"
    assert (sql_folder() / "schema").is_dir()


def test_an_installed_package_has_it_inside_itself(tmp_path: Path) -> None:
    """Intent: a wheel brings its own, also where another project has put a `sql` into site-packages."""
    (tmp_path / "superset_ext" / "sql").mkdir(parents=True)
    (tmp_path / "sql").mkdir()
    assert sql_folder(tmp_path / "superset_ext") == tmp_path / "superset_ext" / "sql"


def test_every_function_is_made_once_and_used() -> None:
    """Intent: a function that views have left behind is not installed at everybody's for ever."""
    made = Counter(name for path in (ROOT / "sql/schema").glob("*.sql") for name in _MADE.findall(path.read_text()))
    assert max(made.values()) == 1, made.most_common(1)
    files = (path for folder in ("sql", "superset_ext") for path in (ROOT / folder).rglob("*"))
    texts = (path.read_text() for path in files if path.suffix in (".sql", ".py", ".yaml"))
    used = {word for text in texts for line in text.splitlines() if not _NO_USE.match(line)
            for word in re.findall(r"\w+", line)}  # fmt: skip
    assert set(made) - used <= {FOR_LATER_FILES}

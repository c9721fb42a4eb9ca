"""Where the package finds its SQL: mounted, and installed."""

from __future__ import annotations

from pathlib import Path

from superset_ext.core.sql_folder import sql_folder


def test_a_mounted_package_has_it_beside_itself(tmp_path: Path) -> None:
    """Intent: `superset_ext/` and `sql/` are mounted side by side, wherever that is."""
    assert sql_folder(tmp_path / "superset_ext") == tmp_path / "sql"
    assert (sql_folder() / "schema").is_dir()


def test_an_installed_package_has_it_inside_itself(tmp_path: Path) -> None:
    """Intent: a wheel brings its own, also where another project has put a `sql` into site-packages."""
    (tmp_path / "superset_ext" / "sql").mkdir(parents=True)
    (tmp_path / "sql").mkdir()
    assert sql_folder(tmp_path / "superset_ext") == tmp_path / "superset_ext" / "sql"

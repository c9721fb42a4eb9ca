"""Where the folder `sql` lies: schema, views, queries and watches."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from superset_ext.errors import SchemaError

_PACKAGE = Path(__file__).resolve().parents[1]


def sql_folder(package: Path = _PACKAGE) -> Path:
    """The folder `sql` of the package in the folder `package`: inside it in a wheel, beside it where it is mounted.

    Inside goes first: beside an installed package, in `site-packages`, another project may have a `sql` of its own.
    """
    inside = package / "sql"
    return inside if inside.is_dir() else package.with_name("sql")


@cache
def query_text(name: str, folder: Path | None = None) -> str:
    """The text of `queries/<name>.sql` in the folder `sql`, read once a process.

    Raises:
        SchemaError: there is no such file.
    """
    path = (folder or sql_folder()) / "queries" / f"{name}.sql"
    if not path.is_file():
        raise SchemaError(f"{path} is missing; mount the package's folder sql beside superset_ext")
    return path.read_text(encoding="utf-8")

"""A streaming replica of a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

from superset_ext.core import unprivileged
from superset_ext.embedded.postgres import Postgres, binary


def standby_of(primary: Postgres, data_dir: Path) -> Postgres:
    """A replica of a server, which has yet to be started.

    Args:
        data_dir: where its files go; there is no such folder.
    """
    made = Postgres(data_dir)
    made.data_dir.mkdir(mode=0o700, parents=True)
    copy = [str(binary("pg_basebackup")), "-D", str(data_dir), "-X", "stream", "-c", "fast", "--no-sync"]
    done = subprocess.run(
        [*unprivileged.prefix(data_dir), *copy, "-d", primary.url()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made._password_file.write_text(primary.password)
    _follow(primary, data_dir)
    return made


def _follow(primary: Postgres, data_dir: Path) -> None:
    """Written here, since `pg_basebackup` writes options that only servers of its own version know."""
    with (data_dir / "postgresql.auto.conf").open("a") as config:
        config.write(f"\nprimary_conninfo = '{primary.url()}'\n")
    (data_dir / "standby.signal").touch()

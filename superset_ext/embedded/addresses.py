"""The addresses of the stack's own PostgreSQL that Superset keeps, brought up to date after its port has changed.

It changes where another program has taken the port, and where the state directory was copied: without this, the copy's
charts would read the databases of the stack that it was copied from.
"""

from __future__ import annotations

from contextlib import closing

import psycopg2

from superset_ext.embedded.ports import LOOPBACK
from superset_ext.settings import OWN_DATABASE

# The stack itself has made the examples and our own database, so the address in them was its server's. Whatever else
# has that address means the same server.
_RENEW = r"""
    WITH old AS (
        SELECT DISTINCT substring(sqlalchemy_uri FROM '@127\.0\.0\.1:\d+/') AS address
        FROM dbs WHERE database_name = 'examples' OR uuid = %(own)s
    )
    UPDATE dbs SET sqlalchemy_uri = replace(sqlalchemy_uri, old.address, %(new)s)
    FROM old
    WHERE old.address <> %(new)s AND position(old.address IN sqlalchemy_uri) > 0
"""


def renew_addresses(metadata_url: str, port: int) -> int:
    """Make Superset's databases on the stack's server point to `port`; returns how many did not."""
    with closing(psycopg2.connect(metadata_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('dbs') IS NOT NULL")
        (has_databases,) = cursor.fetchone() or (False,)
        if not has_databases:
            return 0
        cursor.execute(_RENEW, {"own": OWN_DATABASE, "new": f"@{LOOPBACK}:{port}/"})
        return int(cursor.rowcount)

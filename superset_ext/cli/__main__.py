"""`python -m superset_ext.cli …`: the commands of `superset perf`; those that need no Superset start without it."""

from __future__ import annotations

import sys

from flask import Flask
from flask.cli import ScriptInfo

from superset_ext.cli.bare import bare_app, needs_no_superset
from superset_ext.cli.perf import perf
from superset_ext.core import quiet
from superset_ext.errors import SupersetExtError


def main() -> None:
    """Run the command of this command line, and end the process with its status."""
    words = sys.argv[1:]
    quiet.begin(always=True)
    try:
        app = (bare_app() if needs_no_superset(words) else None) or _superset()
    except SupersetExtError as error:
        quiet.end()
        sys.exit(f"Error: {error}")
    perf.main(args=words, prog_name="superset perf", obj=ScriptInfo(create_app=lambda: app, set_debug_flag=False))


def _superset() -> Flask:
    from superset_ext.host.start import superset_app

    app: Flask = superset_app()
    return app


if __name__ == "__main__":
    main()

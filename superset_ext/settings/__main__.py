"""`python -m superset_ext.settings` checks the environment; with `table` it prints the README's table."""

from __future__ import annotations

import os
import sys

from superset_ext.errors import SettingsError
from superset_ext.settings.environment import load, variables
from superset_ext.settings.readme import markdown


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    if argv == ["table"]:
        print(markdown())
        return 0
    try:
        load(os.environ)
    except SettingsError as error:
        print(f"superset_ext: {error}", file=sys.stderr)
        return 1
    count = sum(bool(os.environ.get(name)) for name in variables())
    print(f"superset_ext: the environment is fine; it sets {count} of {len(variables())} settings")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

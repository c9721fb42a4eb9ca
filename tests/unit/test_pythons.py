"""The mounted package runs on each Python that Superset 6.1 has images for, as far as these are on this machine."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.10", "3.11", "3.12")
# What is mounted; the embedded stack needs the repository, and its Python.
FILES = [ROOT / "superset_config.py", *sorted(p for p in (ROOT / "superset_ext").rglob("*.py") if "embedded" not in p.parts)]  # fmt: skip # noqa: E501
COMPILE = """
import json, sys
for path in json.load(sys.stdin):
    with open(path, encoding="utf-8") as file:
        compile(file.read(), path, "exec", dont_inherit=True)
"""
# Prints the names of the standard library that this Python lacks.
LACKS = """
import importlib, json, sys
lacking = []
for module, name in json.load(sys.stdin):
    try:
        owner = importlib.import_module(module)
        if name and not hasattr(owner, name):
            importlib.import_module(module + "." + name)
    except ImportError:
        lacking.append(module + "." + str(name))
print(json.dumps(lacking))
"""
# What imports without Superset and its libraries.
ALONE = "import superset_ext, superset_ext.compat, superset_ext.errors; print(superset_ext.compat.StrEnum.__mro__[1])"


@cache
def python(version: str) -> str | None:
    """An interpreter of a version: one on the path, or of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for place in (*sorted(map(str, pyenv.glob(f"{version}.*/bin"))), os.environ["PATH"]):
        path = shutil.which(f"python{version}", path=place)
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


def run(version: str, code: str, argument: object = None) -> str:
    """What a program prints in an interpreter of this version."""
    path = python(version)
    if path is None:
        pytest.skip(f"no Python {version} on this machine")
    done = subprocess.run(
        [path, "-c", code], input=json.dumps(argument), cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_of_newer(node: ast.AST) -> bool:
    """Whether a block is only for later versions: `if sys.version_info >= …`."""
    return isinstance(node, ast.If) and "sys.version_info" in ast.unparse(node.test)


def names(path: Path) -> set[tuple[str, str | None]]:
    """The modules of the standard library that a file imports, and what it takes from them."""
    used: set[tuple[str, str | None]] = set()
    aliases: dict[str, str] = {}
    tree = ast.parse(path.read_text())
    skipped = {id(child) for node in ast.walk(tree) if is_of_newer(node) for child in ast.walk(node)}
    nodes = [node for node in ast.walk(tree) if id(node) not in skipped]
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.partition(".")[0]] = alias.name
                used.add((alias.name, None))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            used |= {(node.module, alias.name) for alias in node.names if alias.name != "*"}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            used.add((aliases[node.value.id], node.attr))
    return {(module, name) for module, name in used if module.partition(".")[0] in sys.stdlib_module_names}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_compiles(version: str) -> None:
    """Intent: no syntax that an older Python does not know."""
    run(version, COMPILE, [str(path) for path in FILES])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_of_the_standard_library_is_there(version: str) -> None:
    """Intent: no StrEnum, datetime.UTC or asyncio.timeout where Python has none."""
    used = sorted({name for path in FILES for name in names(path)}, key=str)
    assert len(used) > 200
    assert json.loads(run(version, LACKS, used)) == []


PATTERNS = """
import json, re, sys
for pattern, flags in json.load(sys.stdin):
    re.compile(pattern, flags)
"""


def patterns() -> list[tuple[str, int]]:
    """The regular expressions of the package, as they are in the end, with their flags."""
    expressions = []
    for path in FILES[1:]:
        if "re.compile(" in path.read_text():
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            expressions += [(v.pattern, v.flags) for v in vars(module).values() if isinstance(v, re.Pattern)]
    return [(pattern, flags) for pattern, flags in expressions if isinstance(pattern, str)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_regular_expression_compiles(version: str) -> None:
    """Intent: no possessive or atomic part, which Python has since 3.11."""
    made = patterns()
    assert len(made) > 30
    run(version, PATTERNS, made)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_needs_no_library_imports(version: str) -> None:
    """Intent: the stand-ins for what an older Python lacks work there."""
    assert "str" in run(version, ALONE)


TIMEOUT = """
import asyncio
from superset_ext.compat import timeout_at, StrEnum, UTC
class Kind(StrEnum):
    ONE = "one"
async def late():
    async with timeout_at(asyncio.get_running_loop().time() + 0.01):
        await asyncio.Event().wait()
async def early():
    async with timeout_at(asyncio.get_running_loop().time() + 60):
        return "early"
try:
    asyncio.run(late())
except TimeoutError:
    print("late", asyncio.run(early()), str(Kind.ONE), f"{Kind.ONE:>5}", Kind.ONE == "one", UTC)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_stand_ins_are_like_the_originals(version: str) -> None:
    """Intent: the same on every version, the builtin TimeoutError and a member's text included."""
    assert run(version, TIMEOUT) == "late early one   one True UTC\n"

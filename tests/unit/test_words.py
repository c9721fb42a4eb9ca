"""The words of the code: names say what they hold or do, and each test says what it is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("superset_ext", "testing", "tests", "bench")
PARTICIPLES = {"found", "each", "said", "told"}  # they tell that something happened, and not what it is
Tree = tuple[Path, ast.Module]


@cache
def trees(folder: str) -> tuple[Tree, ...]:
    """All Python files of one of our folders, by their path in the project."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return tuple((path.relative_to(ROOT), ast.parse(path.read_text())) for path in paths)


def given_names(node: ast.AST) -> Iterator[str | None]:
    """The names that a node gives: to a variable, an attribute, a parameter, a function, a class, a module."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name
        case ast.arg(arg=name) | ast.alias(asname=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            yield name
        case ast.MatchMapping(rest=name):
            yield name


def participles(path: Path, tree: ast.Module) -> Iterator[str]:
    if path.stem in PARTICIPLES:
        yield f"{path}: {path.stem}"
    for node in ast.walk(tree):
        for name in given_names(node):
            if name is not None and name.strip("_") in PARTICIPLES:
                yield f"{path}:{getattr(node, 'lineno', 0)}: {name}"


def without_intent(path: Path, tree: ast.Module) -> Iterator[str]:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    for test in functions:
        if test.name.startswith("test_") and not (ast.get_docstring(test) or "").startswith("Intent: "):
            yield f"{path}:{test.lineno}: {test.name}"


@pytest.mark.thorough
def test_names_are_nouns_or_verbs() -> None:
    """Intent: nothing of ours is called `found`, `each`, `said` or `told`, which fit whatever comes along."""
    names = [line for folder in FOLDERS for path, tree in trees(folder) for line in participles(path, tree)]
    assert not names, "name what it holds (a noun), or what it does (a verb):\n" + "\n".join(names)


def test_each_test_says_its_intent() -> None:
    """Intent: who sees a test fail reads in its docstring what is lost."""
    tests = [item for item in trees("tests") if item[0].name.startswith("test_")]
    silent = [line for path, tree in tests for line in without_intent(path, tree)]
    assert len(tests) > 100 and not silent, (
        'begin the docstring with "Intent: ", and say what would be lost if it failed:\n' + "\n".join(silent)
    )


@pytest.mark.parametrize(
    "code",
    [
        "found = 1", "for each in (): pass", "def told(): pass", "def f(said): pass", "class A:\n    told: int = 0",
        "self.said = 1", "with x as found: pass", "import a as told", "[0 for each in ()]", "(found := 1)", "_told = 1",
        "try: pass\nexcept E as found: pass", "match x:\n    case [*found]: pass", "match x:\n    case {**each}: pass",
        "match x:\n    case y as told: pass", "lambda each: 0", "async def found(): pass",
    ],
)  # fmt: skip
def test_every_way_to_give_a_name_is_seen(code: str) -> None:
    """Intent: the guard of the names looks at whatever can give one."""
    assert len(list(participles(Path("a.py"), ast.parse(code)))) == 1
    assert not list(participles(Path("a.py"), ast.parse("row.told; found(each); said.x = told(each=1)")))

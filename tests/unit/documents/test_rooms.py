"""The rooms of `shared` and `local`: who may import whom, without a circle and never upward."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# From the ground up. A room may import the rooms of the floors below it, and none of its own floor or above.
# A module of `shared` or `local` that is no room is named like one.
FLOORS = {
    "shared": [
        {"errors", "limits", "models"},
        {"platform"},
        {"formats"},
        {"events"},
        {"accounts", "products"},
        {"favorites", "health", "web"},
    ],
    "local": [
        {"lifeline"},
        {"servers"},
        {"aws"},
        {"catalog_check", "console", "docker", "running", "settings"},
        {"seed", "stack"},
        {"sam_local"},
        {"__main__"},
    ],
}


@cache
def modules(top: str) -> dict[str, Path]:
    """The files of a top package by the dotted names of their modules."""
    files = (ROOT / top).glob("**/*.py")
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def imported(tree: ast.AST) -> Iterator[str]:
    """What is imported wherever in it: `a.b` and `a.b.c` for `from a.b import c`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0, "a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("top", FLOORS)
def test_every_room_has_its_floor(top: str) -> None:
    assert {room(module) for module in modules(top) if module != top} == set().union(*FLOORS[top])


@pytest.mark.parametrize("top", FLOORS)
def test_no_room_imports_its_own_floor_or_one_above(top: str) -> None:
    floor = {name: number for number, names in enumerate(FLOORS[top]) for name in names}
    wrong = [
        f"{module} imports {other}"
        for module, file in modules(top).items()
        if module != top  # the package itself may reach into its rooms
        for other in imported(ast.parse(file.read_text()))
        if other in modules(top) and other != top
        if room(other) != room(module) and floor[room(other)] >= floor[room(module)]
    ]
    assert wrong == []


@pytest.mark.parametrize("top", FLOORS)
def test_no_modules_import_each_other_in_a_circle(top: str) -> None:
    known = modules(top)
    open_: list[str] = []
    done: set[str] = set()

    def visit(module: str) -> None:
        assert module not in open_, f"a circle: {' -> '.join([*open_[open_.index(module) :], module])}"
        if module in done:
            return
        open_.append(module)
        for other in imported(ast.parse(known[module].read_text())):
            # A package's own file has nothing but what belongs to all its modules.
            if other in known and other != module and known[other].name != "__init__.py":
                visit(other)
        done.add(open_.pop())

    for module in known:
        visit(module)


@pytest.mark.parametrize("top", ["functions", "shared", "local", "tests", "tools"])
def test_no_file_has_the_name_of_a_module_of_the_standard_library(top: str) -> None:
    files = [*(ROOT / top).glob("**/*.py")]
    assert {file.stem for file in files} & sys.stdlib_module_names - {"__init__", "__main__"} == set()
    # `shared.platform` is the design's name; written bare, `platform` is always the standard library's.
    bare = re.compile(
        rf"^\s*from (?:shared|local) import .*\b({'|'.join(sys.stdlib_module_names)})\b", re.MULTILINE
    )
    assert [file for file in files if bare.search(file.read_text())] == []


@pytest.mark.parametrize("top", ["functions", "shared", "local", "tools"])
def test_a_folder_has_at_most_a_dozen_files(top: str) -> None:
    crowded = {
        str(folder.relative_to(ROOT)): len(files)
        for folder in [ROOT / top, *(ROOT / top).glob("**/")]
        if len(files := [file for file in folder.glob("*.py") if file.name != "__init__.py"]) > 12
    }
    assert crowded == {}

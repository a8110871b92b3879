"""What the build changes in packages: an import moves to where it is used, and nothing else happens."""

import queue
import runpy
import types
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

DEPENDENCIES = Path(__file__).parents[3] / "layers" / "dependencies"
MODULE = runpy.run_path(str(DEPENDENCIES / "put_off.py"))
PUT_OFF: dict[str, str] = MODULE["PUT_OFF"]
put_off: Callable[[str, str], str] = MODULE["put_off"]


def test_an_import_moves_to_the_functions_that_use_it() -> None:
    source = """\
import json
from asyncio import Lock, sleep

def no_use():
    return json

class Some:
    def some(self, lock: Lock):
        '''Its docstring stays.'''
        if self:
            return 1
        else:
            while True:
                sleep(1)
"""
    assert (
        put_off(source, "asyncio")
        == """\
from __future__ import annotations
import json

def no_use():
    return json

class Some:
    def some(self, lock: Lock):
        '''Its docstring stays.'''
        if self:
            return 1
        else:
            from asyncio import Lock, sleep
            while True:
                sleep(1)
"""
    )


def test_what_a_file_makes_of_the_module_is_made_when_somebody_asks_for_it() -> None:
    source = """\
import sys
import queue
Kind: type = queue.Queue
FULL = (OSError, queue.Full)
class Line(queue.Queue):
    size = 2
"""
    made = types.ModuleType("made")
    exec(put_off(source, "queue"), made.__dict__)  # noqa: S102 - as importing it does
    assert {"queue", "Kind", "FULL", "Line"}.isdisjoint(vars(made))
    assert (OSError, queue.Full) == made.FULL
    assert made.Kind is queue.Queue
    assert issubclass(made.Line, queue.Queue)
    assert (made.Line.__module__, made.Line.__qualname__, made.Line.size) == ("made", "Line", 2)
    with pytest.raises(AttributeError, match="module 'made' has no attribute 'other'"):
        _ = made.other


def test_an_import_for_others_is_done_when_they_ask_for_its_names() -> None:
    made = types.ModuleType("made")
    exec(put_off("from queue import Full\n", "queue"), made.__dict__)  # noqa: S102
    assert "Full" not in vars(made)
    assert made.Full is queue.Full


@pytest.mark.parametrize(
    "use",
    [
        "def some(x=asyncio.Lock): ...",
        "for x in asyncio.all_tasks(): ...",
        "LOCK = asyncio.Lock\nlocks = [LOCK]",
    ],
)
def test_an_import_that_is_needed_while_the_file_loads_ends_the_build(use: str) -> None:
    with pytest.raises(ValueError, match="uses"):
        put_off(f"import asyncio\n{use}\n", "asyncio")


@pytest.mark.parametrize("source", ["import json\n", "import asyncio\nimport asyncio\n", "x = 1\n"])
def test_a_file_without_just_one_such_import_ends_the_build(source: str) -> None:
    with pytest.raises(ValueError, match=r"imports asyncio \d times"):
        put_off(source, "asyncio")


@pytest.mark.parametrize("name", PUT_OFF)
def test_what_a_file_of_the_packages_defines_stays_the_same(name: str) -> None:
    source = Path(psycopg.__file__).parents[1].joinpath(name).read_text()
    made = put_off(source, PUT_OFF[name])
    compile(made, name, "exec")
    assert made != source
    moved = {line.strip() for line in source.splitlines()} - {line.strip() for line in made.splitlines()}
    assert moved <= {"AWorker: TypeAlias = asyncio.Task[None]"}  # a global name may have no type

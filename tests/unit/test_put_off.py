"""What the build changes in packages: an import moves to where it is used, and nothing else happens."""

import runpy
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

DEPENDENCIES = Path(__file__).parents[2] / "layers" / "dependencies"
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


@pytest.mark.parametrize(
    "use", ["LOCK = asyncio.Lock", "class Some(asyncio.Lock): ...", "def some(x=asyncio.Lock): ..."]
)
def test_an_import_that_is_used_while_the_file_loads_ends_the_build(use: str) -> None:
    with pytest.raises(ValueError, match="uses asyncio in line 2, as it is loaded"):
        put_off(f"import asyncio\n{use}\n", "asyncio")


@pytest.mark.parametrize("source", ["import json\n", "import asyncio\nimport asyncio\n", "x = 1\n"])
def test_a_file_without_just_one_such_import_ends_the_build(source: str) -> None:
    with pytest.raises(ValueError, match=r"imports asyncio \d times"):
        put_off(source, "asyncio")


@pytest.mark.parametrize("name", PUT_OFF)
def test_a_file_of_the_packages_is_as_it_was_but_for_where_the_import_stands(name: str) -> None:
    source = Path(psycopg.__file__).parents[1].joinpath(name).read_text()
    made = put_off(source, PUT_OFF[name])
    compile(made, name, "exec")
    before, after = source.splitlines(), made.splitlines()
    (moved,) = {line for line in before if line not in after}
    others = {moved, "from __future__ import annotations"}
    assert [line for line in after if line.strip() not in others] == [
        line for line in before if line.strip() not in others
    ]
    assert sum(line.strip() == moved for line in after)

"""Packages without what their `__init__` loads for others: nothing may be missing.

Each program runs in an interpreter of its own, where nothing is loaded yet.
"""

import json

import pytest

from shared.platform.lean_imports import LEAN
from tests.unit.documents import test_names


def run_python(program: str) -> str:
    """What the program prints where a function runs."""
    return test_names.run_python(program, AWS_LAMBDA_FUNCTION_NAME="a_function")


# What a name is, so that two interpreters can be compared.
DESCRIBE = """
import importlib, inspect, json, sys, warnings
warnings.simplefilter("ignore")  # names that are only there to say that they are deprecated

def describe(value):
    if inspect.ismodule(value):
        return f"module {value.__name__}"
    if hasattr(value, "__qualname__"):
        return f"{type(value).__name__} {value.__module__}.{value.__qualname__}"
    return f"a {type(value).__name__}"

def described(module):  # but for its submodules: which of them are loaded depends on who was there before
    found = {name: describe(getattr(module, name)) for name in vars(module) if not name.startswith("__")}
    return {name: what for name, what in found.items() if what != f"module {module.__name__}.{name}"}
"""


def ordinary(module: str) -> dict[str, str]:
    """The names of the module as Python imports it."""
    program = f"{DESCRIBE}\nprint(json.dumps(described(importlib.import_module({module!r}))))"
    names: dict[str, str] = json.loads(run_python(program))
    return names


@pytest.mark.slow
@pytest.mark.parametrize("module", LEAN)
def test_a_lean_module_has_every_name_and_becomes_an_ordinary_one_in_its_place(module: str) -> None:
    names: dict[str, str] = json.loads(
        run_python(f"{DESCRIBE}\nprint(json.dumps(described(importlib.import_module({module!r}))))")
    )
    program = f"""{DESCRIBE}
from shared.platform import lean_imports; lean_imports.start()
module = importlib.import_module({module!r})
names = " ".join(lean_imports.LEAN[{module!r}].values()).split()
taken = {{name: getattr(module, name) for name in names}}
assert type(module).__name__ == "LeanModule"
print(json.dumps({{name: describe(getattr(module, name)) for name in {list(names)}}}))
assert not hasattr(module, "no_such_name")  # looking for it runs the module's own code
assert type(module).__name__ == "module" and sys.modules[{module!r}] is module
assert [name for name, value in taken.items() if getattr(module, name) is not value] == []
print(json.dumps(described(module)))
"""
    assert [json.loads(line) for line in run_python(program).splitlines()] == [names, names]


def test_a_variable_turns_all_of_it_off() -> None:
    program = """
import gc, sys, types
before = gc.get_threshold()
from shared.platform import lean_imports; lean_imports.start()
import jwt, redis
assert type(jwt) is type(redis) is types.ModuleType
assert lean_imports.LeanFinder not in sys.meta_path
lean_imports.done()
assert gc.get_threshold() == before and gc.get_freeze_count() == 0
"""
    variables = {"AWS_LAMBDA_FUNCTION_NAME": "a_function", "LEAN_IMPORTS": "off"}
    assert test_names.run_python(program, **variables) == ""


def test_no_module_is_listed_in_vain_and_one_that_was_loaded_before_stays_as_it_is() -> None:
    program = """
import jwt, sys, types; before = jwt.decode
from shared.platform import lean_imports; lean_imports.start()
import jwt; assert type(jwt) is types.ModuleType
assert jwt.decode is before
from importlib import import_module
for function in ("get_product", "login"):
    import_module(f"functions.{function}.handler")
print(*sorted(set(lean_imports.LEAN) - set(sys.modules)))
"""
    assert run_python(program).split() == []


def test_a_lean_module_misses_what_is_missing_and_serves_several_threads() -> None:
    program = """
from shared.platform import lean_imports; lean_imports.start()
try:
    from redis import NoSuchName
except ImportError as error:
    print(error.name, "NoSuchName" in str(error))
import jwt, threading
found = []
threads = [threading.Thread(target=lambda: found.append(jwt.PyJWT)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(found)))
"""
    assert run_python(program) == "redis True\n8 1\n"


def test_no_garbage_is_looked_for_while_a_function_loads_and_as_usual_afterwards() -> None:
    program = """
import gc
usual = gc.get_threshold()
from shared.platform import lean_imports; lean_imports.start()
before = [generation["collections"] for generation in gc.get_stats()]
import functions.list_favorites.handler
after = [generation["collections"] for generation in gc.get_stats()]
print(after == before, gc.get_threshold() == usual, gc.get_freeze_count() > 10_000)
"""
    assert run_python(program) == "True True True\n"


def test_a_program_that_is_no_function_imports_as_ever() -> None:
    program = """
import gc, sys, types
usual = gc.get_threshold()
from shared.platform.lean_imports import LEAN
import functions.login.handler
lean = [name for name in LEAN if type(sys.modules.get(name, sys)) is not types.ModuleType]
print(lean, gc.get_threshold() == usual, gc.get_freeze_count())
"""
    assert test_names.run_python(program) == "[] True 0\n"

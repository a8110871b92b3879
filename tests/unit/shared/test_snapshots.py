"""SnapStart: what happens before a snapshot and after a restore (shared/platform/snapshots.py).

Each program runs in an interpreter of its own, as an execution environment does in its init phase.
"""

import pytest

from tests.unit.documents.test_names import run_python

SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "REDIS_URL": "redis://valkey.test"}

# Lambda's runtime brings the real one; this one shows what it was given.
STAND_IN = """
import sys, types
before, after = [], []
hooks = types.ModuleType("snapshot_restore_py")
hooks.register_before_snapshot = before.append
hooks.register_after_restore = after.append
sys.modules["snapshot_restore_py"] = hooks
"""


@pytest.mark.parametrize("function", ["get_product", "list_favorites", "login"])
def test_without_snapstart_nothing_is_registered(function: str) -> None:
    program = f"{STAND_IN}\nimport functions.{function}.handler\nprint(before, after)"
    assert run_python(program, AWS_LAMBDA_INITIALIZATION_TYPE="on-demand") == "[] []\n"
    assert run_python(program) == "[] []\n"


@pytest.mark.parametrize("function", ["get_product", "list_favorites", "login"])
def test_the_runtime_is_given_what_to_do(function: str) -> None:
    program = f"""
{STAND_IN}
import functions.{function}.handler
from shared.platform import snapshots
import random
print({{*before}} == {{snapshots.forget}}, {{*after}} == {{random.seed}})
"""
    assert run_python(program, **SNAP_START) == "True True\n"


def test_with_snapstart_a_product_function_is_loaded_whole() -> None:
    program = f"""
{STAND_IN}
import functions.get_product.handler
print("functions.get_product.routes" in sys.modules)
"""
    assert run_python(program, **SNAP_START) == "True\n"
    assert run_python(program, REDIS_URL="redis://valkey.test") == "False\n"


def test_connections_and_secrets_are_dropped_before_the_snapshot_by_the_runtimes_own_hooks() -> None:
    program = """
import functions.get_product.handler
from awslambdaric import lambda_runtime_hooks_runner as runner
from shared.platform import database, secrets_manager, valkey

class Connection:
    closed = False
    def close(self):
        self.closed = True

of_database, of_cache = Connection(), Connection()
database._connection, valkey._pool = of_database, of_cache
valkey._not_before = 1e9
secrets_manager._kept["arn:a"] = (0.0, "a secret")
runner.run_before_snapshot()
print(of_database.closed, of_cache.closed, secrets_manager._kept)
print(database._connection, valkey._pool, valkey._not_before)
"""
    assert run_python(program, **SNAP_START) == "True True {}\nNone None 0.0\n"


def test_nothing_is_loaded_to_be_closed() -> None:
    program = """
from shared.platform import snapshots
snapshots.protect()
from awslambdaric import lambda_runtime_hooks_runner as runner
runner.run_before_snapshot()
import sys
ours = {"shared.platform." + name for name in ("database", "valkey", "secrets_manager")}
print(sorted(({"psycopg", "redis"} | ours) & set(sys.modules)))
"""
    assert run_python(program) == "[]\n"


def test_two_environments_restored_from_one_snapshot_draw_differently() -> None:
    program = """
import functions.list_favorites.handler
from awslambdaric import lambda_runtime_hooks_runner as runner
import random
random.seed(4)  # the state that is in the snapshot
{restore}
print(random.random())
"""
    restored = {run_python(program.format(restore="runner.run_after_restore()"), **SNAP_START) for _ in "ab"}
    assert len(restored) == 2
    assert len({run_python(program.format(restore=""), **SNAP_START) for _ in "ab"}) == 1

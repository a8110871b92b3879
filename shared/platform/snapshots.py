"""SnapStart: nothing of one execution environment lives on in another.

With SnapStart, Lambda takes a snapshot after the init phase and starts many environments from it. They must
not share a connection, nor what was drawn at random before. Tokens, ids and salts come from the operating
system (`secrets`, `uuid4`, argon2), which differs in each; so does OpenSSL in psycopg, for it draws its
first seed with the first connection, and there is none before the snapshot. What Python's own generator
gives (redis-py's and Powertools' waits) is seeded anew.
"""

from __future__ import annotations

import os
import random
import sys

# Module and function: what forgets a connection or a secret. A module that was not loaded has none.
_FORGET = {
    "shared.platform.database": "close",
    "shared.platform.valkey": "close",
    "shared.platform.secrets_manager": "forget",
}


def are_taken() -> bool:
    """Whether this environment is in the init phase of a function with SnapStart."""
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def protect() -> None:
    """Have the runtime call what belongs before a snapshot and after a restore; harmless if repeated."""
    from snapshot_restore_py import register_after_restore, register_before_snapshot

    register_before_snapshot(forget)
    register_after_restore(random.seed)


def forget() -> None:
    """Close the connections that there are, and drop the secrets; loads nothing for it."""
    for name, function in _FORGET.items():
        if module := sys.modules.get(name):
            getattr(module, function)()

"""Works at once, and what the services saw: the SQL statements on the wire, the commands of Valkey."""

import os
import re
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import psycopg
import pytest
import redis
from psycopg.pq import Trace
from redis.connection import Connection

from local.servers.valkey import Valkey
from shared.platform import database

Result = TypeVar("Result")


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL texts that the environment's connection sends inside the block, filled in at its end.

    Read from libpq's own trace of the protocol, so nothing that goes another way than planned is missed.
    """
    sent: list[str] = []
    wire = database.connection().pgconn
    with tempfile.TemporaryFile("w+b") as file:
        wire.trace(file.fileno())
        wire.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield sent
        finally:
            wire.untrace()
            file.seek(0)
            text = file.read().decode()
            sent += re.findall(
                r'^F\t\d+\t(?:Parse\t ""|Query\t) "(.*?)"(?: [ \d]+)?$', text, re.MULTILINE | re.DOTALL
            )


@contextmanager
def commands(url: str) -> Iterator[Counter[str]]:
    """How often each command was processed by Valkey inside the block, filled in at its end."""
    counted: Counter[str] = Counter()
    with redis.Redis.from_url(url, protocol=2) as client:
        client.config_resetstat()
        yield counted
        for name, values in client.info("commandstats").items():
            counted[name.removeprefix("cmdstat_")] = values["calls"]
    for own in ("config|resetstat", "info", "client|setinfo"):
        del counted[own]


@contextmanager
def round_trips(environment: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What the environment sends to Valkey inside the block, one element for each round trip."""
    sent: list[bytes] = []
    send = Connection.send_packed_command

    def counted(connection: Connection, command: list[bytes], **more: bool) -> None:
        sent.append(b"".join(command))
        send(connection, command, **more)  # type: ignore[no-untyped-call]

    with environment.context() as patched:
        patched.setattr(Connection, "send_packed_command", counted)
        yield sent


def at_once(works: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """What each of the works returns or raises, all begun at the same moment in threads of their own."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], Result]) -> Result | Exception:
        barrier.wait(10)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 — the test looks at what it is
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def wait_for_a_lock(db: psycopg.Connection) -> None:
    """Return when a statement waits for a lock. Raises TimeoutError after 5 seconds."""
    for _ in range(500):
        # Not pg_stat_activity, which hides the statements of other roles.
        if db.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:
            return
        time.sleep(0.01)
    raise TimeoutError("nobody waits for a lock")


@contextmanager
def later(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Do it in another thread so many seconds after the block began; it is done when the block ends."""
    timer = threading.Timer(seconds, act)
    timer.start()
    yield
    timer.join()


def freeze(valkey: Valkey) -> Callable[[], None]:
    """Let Valkey answer nobody, with all connections open; returns what lets it go on."""
    with redis.Redis.from_url(valkey.url, protocol=2) as client:
        process = client.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    return lambda: os.kill(process, signal.SIGCONT)

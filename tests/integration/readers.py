"""Many execution environments that ask for one product at the same moment, each a process of its own.

    python -m tests.integration.readers 100 7

prints, for each of them, one line of JSON: the seconds it waited and the state of the answer, or the name of
the refusal. Forked from one process, they share its memory, as cold environments would not; all that they do
after that they do as those would, but that they are patient with a busy machine. What they must not wait for,
the lease, is longer than any noise.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PATIENCE = 10.0  # seconds for a command of Valkey, or an answer of the catalog
LEASE = 30.0  # seconds


class Reading(NamedTuple):
    """What one environment saw."""

    seconds: float
    outcome: str


def read_at_once(readers: int, product_id: str) -> list[Reading]:
    """What so many environments saw who asked for the product at once; they have this process' settings."""
    finished = subprocess.run(  # noqa: S603 — our own module
        [sys.executable, "-m", "tests.integration.readers", str(readers), product_id],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    lines = [line for line in finished.stdout.splitlines() if line.startswith("[")]
    return [Reading(*json.loads(line)) for line in lines]


def _be_patient() -> None:
    from shared.platform import valkey
    from shared.products import single_flight
    from shared.products.catalog import http_client

    for function, name in ((valkey.pipeline, "seconds"), (http_client.get, "timeout")):
        assert function.__kwdefaults__
        assert name in function.__kwdefaults__
        function.__kwdefaults__[name] = PATIENCE
    single_flight.LEASE, single_flight.WAIT = LEASE, 2 * LEASE


def _main(readers: int, product_id: str) -> None:
    from shared.errors import DomainError
    from shared.platform import database, valkey
    from shared.products import product_cache, read_through

    _be_patient()
    warm = product_cache.Entry(200, 1, time.time(), "{}", '""')
    product_cache.put("warm", warm)
    read_through.detail("warm")
    valkey.close()

    ready, stand_in_line = os.pipe()
    go, start = os.pipe()
    children = []
    for _ in range(readers):
        if child := os.fork():
            children.append(child)
            continue
        os.close(start)
        read_through.detail("warm")  # has loaded, connected and copied from its parent what it will need
        database.connection()
        os.write(stand_in_line, b".")
        os.close(stand_in_line)
        os.read(go, 1)  # until nobody holds its other end
        begun = time.monotonic()
        try:
            outcome: str = read_through.detail(product_id).state
        except DomainError as error:
            outcome = type(error).__name__
        line = json.dumps([round(time.monotonic() - begun, 4), outcome])
        os.write(1, f"{line}\n".encode())  # one short write, which nobody else's can split
        os._exit(0)
    os.close(stand_in_line)
    in_line = 0
    while dots := os.read(ready, readers):  # until all have come so far, or said on stderr why not
        in_line += len(dots)
    if in_line < readers:
        sys.exit(f"only {in_line} of {readers} readers came to the start")
    os.close(start)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2])

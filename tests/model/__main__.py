"""Let customers do whatever comes to mind for a minute, and hold the history against a model: `make model`.

    python -m tests.model [--seconds 60] [--workers 32] [--clients 8]

It starts a service of its own, whose publisher sends events meanwhile.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from local.servers.postgres import Postgres
from tests.e2e.console_run import ConsoleRun
from tests.model import events
from tests.model.history import Customers
from tests.model.verdict import faults_of


def main() -> int:
    """Run; 0 if a model explains all of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--clients", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may have to run as another user
        with Postgres(Path(folder) / "servers" / "postgres", durable=False) as postgres:
            run = ConsoleRun(
                "run", Path(folder), ready=90, DATABASE_URL=postgres.url, LOCAL_SCHEDULE_SECONDS="1"
            )
            try:
                customers = Customers(run.wait_until_ready(), workers=asked.workers, clients=asked.clients)
                customers.work(asked.seconds)
                sent = events.all_of(run.text, postgres.url)
            finally:
                run.close()
            faults = faults_of(customers.history, sent, postgres.url)
    history = customers.history
    for kind, count in sorted(history.requests.items()):
        print(f"{count:7,}  {kind}")
    operations = sum(map(len, history.favorites.values()))
    print(
        f"{history.requests.total():,} requests of {asked.workers} to {len(history.clients)} clients; "
        f"{operations:,} operations on {len(history.favorites):,} favorites; {len(sent):,} events."
    )
    for fault in faults:
        print(f"BROKEN: {fault}")
    if not faults:
        print("One order of things explains all of it.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Let customers do whatever comes to mind for a minute, and hold the history against a model: `make model`.

    python -m tests.model [--seconds 60] [--workers 32] [--clients 8]

It starts a service of its own, whose publisher sends events meanwhile.
"""

import argparse
import sys

from tests.e2e.console_run import service
from tests.model import events
from tests.model.history import Customers
from tests.model.verdict import faults_of

parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--workers", type=int, default=32)
parser.add_argument("--clients", type=int, default=8)
asked = parser.parse_args()
with service(LOCAL_SCHEDULE_SECONDS="1") as (run, url, database_url):
    customers = Customers(url, workers=asked.workers, clients=asked.clients)
    customers.work(asked.seconds)
    sent = events.all_of(run.text, database_url)
    faults = faults_of(customers.history, sent, database_url)
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
sys.exit(1 if faults else 0)

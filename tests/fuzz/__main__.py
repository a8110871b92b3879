"""Let Schemathesis ask the running service 20,000 questions, as a client and as an admin: `make fuzz`.

    python -m tests.fuzz [--requests 20000] [--seed 7]

It starts a service of its own. What is checked, and what is not and why, stands in schemathesis.toml.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.console_run import service
from tests.fuzz.schemathesis_run import Fuzz

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
parser.add_argument("--requests", type=int, default=20_000)
parser.add_argument("--seed", type=int, help="of an earlier run, to do it again")
asked = parser.parse_args()
with service() as (run, url, database_url), ThreadPoolExecutor(2) as threads:
    fuzzes = [Fuzz(url, database_url, caller) for caller in ("client", "admin")]
    outcomes = list(threads.map(lambda fuzz: fuzz.run(at_least=asked.requests // 2, seed=asked.seed), fuzzes))
    console = run.text()
for outcome in outcomes:
    print(outcome.text)
requests = sum(outcome.requests for outcome in outcomes)
failed = any(outcome.failed for outcome in outcomes)
print(f"{requests:,} requests; {'failures, see above' if failed else 'no failure'}.")
if "Traceback" in console:
    failed = True
    print("The console has a traceback:", console[console.index("Traceback") - 500 :][:3_000], sep="\n")
sys.exit(1 if failed or requests < asked.requests else 0)

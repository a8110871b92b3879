"""Let Schemathesis ask the running service 20,000 questions, as a client and as an admin: `make fuzz`.

    python -m tests.fuzz [--requests 20000] [--seed 7]

It starts a service of its own. What is checked, and what is not and why, stands in schemathesis.toml.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.servers.postgres import Postgres
from tests.e2e.console_run import ConsoleRun
from tests.fuzz.schemathesis_run import Fuzz


def main() -> int:
    """Run; 0 if nothing failed and the questions were as many as asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, help="of an earlier run, to do it again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL may have to run as another user
        with Postgres(folder / "servers" / "postgres", durable=False) as postgres:
            run = ConsoleRun("run", folder, ready=90, DATABASE_URL=postgres.url)
            try:
                url = run.wait_until_ready()
                with ThreadPoolExecutor(2) as threads:
                    outcomes = list(
                        threads.map(
                            lambda caller: Fuzz(url, postgres.url, caller).run(
                                at_least=asked.requests // 2, seed=asked.seed
                            ),
                            ("client", "admin"),
                        )
                    )
                console = run.text()
            finally:
                run.close()
    for outcome in outcomes:
        print(outcome.text)
    requests = sum(outcome.requests for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.failed]
    print(f"{requests:,} requests; {'failures, see above' if failed else 'no failure'}.")
    if "Traceback" in console:
        print("The console has a traceback:")
        print(console[console.index("Traceback") - 500 :][:3_000])
        return 1
    return 1 if failed or requests < asked.requests else 0


if __name__ == "__main__":
    sys.exit(main())

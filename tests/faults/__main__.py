"""Put `make run` through every fault of every server, and print what came of it: `make faults`.

python -m tests.faults [--only Valkey] [--seconds 8]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import schedule


def main() -> int:
    """Run; 0 if no rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument("--seconds", type=float, default=7, help="that each fault lasts")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the console and the servers' data")
    asked = parser.parse_args()
    troubles = [trouble for trouble in schedule.ALL if asked.only.lower() in str(trouble).lower()]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may have to run as another user
        with schedule.Scene(asked.keep or Path(folder)) as scene:
            report = schedule.run(scene, troubles, before=12, lasting=asked.seconds, watch=3, log=print)
    print(f"\n{report.table()}\n")
    print(
        f"{len(troubles)} faults in {time.monotonic() - started:.0f} s; "
        f"{report.acknowledged} acknowledged writes of {report.accounts} accounts looked for afterwards."
    )
    for rule in report.broken:
        print(f"BROKEN: {rule}")
    if not report.broken:
        print("Every rule held.")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())

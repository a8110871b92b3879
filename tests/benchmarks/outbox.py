"""The outbox against a bus that takes 20 ms a call: `python -m tests.benchmarks.outbox [events]`.

PostgreSQL is real, and so are boto3 and its connections. The bus is an HTTP server that waits and says that
it took the entries: all of them, then without one call in twenty that it throttles, then of few streams.
Printed are the events a second; that every stream arrived whole and in its order is checked.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from functions.run_migrations import migrations
from local.servers.http_server import HttpServer
from local.servers.postgres import Postgres
from tests.benchmarks.fixtures.function_process import FunctionProcess, Step

CALL = 0.020  # seconds that the bus takes
THROTTLED = 20  # one call in so many
EVENTS = 100_000
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
    "EVENT_BUS_NAME": "favorites",
}


class Bus:
    """EventBridge's PutEvents; remembers the numbers of each stream as they came."""

    def __init__(self) -> None:
        self.taken: defaultdict[str, list[int]] = defaultdict(list)
        self.throttles = False
        self._calls = 0
        self._lock = threading.Lock()
        bus = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                entries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Entries"]
                time.sleep(CALL)
                status, answer = bus.answer(entries)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — named so by http.server
                """Keep silent."""

        self.server = HttpServer(Handler)

    def answer(self, entries: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self._calls += 1
            if self.throttles and self._calls % THROTTLED == 0:
                return 400, {"__type": "ThrottlingException", "message": "Rate exceeded"}
            for entry in entries:
                detail = json.loads(entry["Detail"])
                if "number" in detail:
                    self.taken[detail["stream"]].append(detail["number"])
        return 200, {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]}


def measure(
    bus: Bus, process: FunctionProcess, db: psycopg.Connection[dict[str, Any]], streams: int, events: int
) -> tuple[float, str]:
    """Seconds until a backlog is sent, and a sentence about it."""
    db.execute("DELETE FROM outbox")
    db.execute(
        """
        INSERT INTO outbox (stream, detail_type, detail)
        SELECT 's' || number %% %(streams)s, 'Numbered', json_build_object(
                   'stream', 's' || number %% %(streams)s, 'number', number, 'text', repeat('x', 300))
          FROM generate_series(0, %(events)s - 1) AS number
        """,
        {"streams": streams, "events": events},
    )
    db.execute("VACUUM (ANALYZE) outbox")
    bus.taken.clear()
    runs: list[float] = []
    while db.execute("SELECT 1 FROM outbox LIMIT 1").fetchone() and sum(runs) < 120:
        runs += process.run([Step("publish", "publish_events", {}, None)])
    expected: defaultdict[str, list[int]] = defaultdict(list)
    for number in range(events):
        expected[f"s{number % streams}"].append(number)
    if bus.taken != expected:
        sys.exit("An event was lost, repeated, out of its stream's order, or not sent in two minutes.")
    return sum(runs), (
        f"Outbox: {events:,} events over {streams:,} streams in {sum(runs):.0f} s, by {len(runs)} runs of at"
        f" most {max(runs):.0f} s, with a bus that takes {CALL * 1000:.0f} ms a call:"
        f" {events / sum(runs):,.0f} a second."
    )


def main(events: int) -> None:
    bus = Bus()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may have to run as another user
        with Postgres(Path(folder) / "postgres") as postgres:
            variables = SETTINGS | {
                "DATABASE_URL": postgres.url,
                "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.server.start(),
            }
            with (
                psycopg.connect(postgres.url, autocommit=True, row_factory=dict_row) as db,
                FunctionProcess(variables) as process,
            ):
                migrations.run(db)
                print(measure(bus, process, db, events // 10, events)[1])
                bus.throttles = True
                print(f"One call in {THROTTLED} is throttled:")
                print(measure(bus, process, db, events // 10, events)[1])
                print(measure(bus, process, db, 10, events // 100)[1])
    bus.server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else EVENTS)

"""The outbox against a bus that takes 20 ms a call: `python -m tests.benchmarks.outbox [events]`.

Once the bus takes every call, and once it throttles one in twenty.

PostgreSQL is real, and so are boto3 and its connections; the bus is an HTTP server in its own process, which
waits and says that it took the entries. Each run has the time that Lambda gives the function. Printed are the
events a second of each run and what it left, over many streams and over few. Every stream's order is checked.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import psycopg
from psycopg.rows import dict_row

from functions.publish_events.handler import lambda_handler
from functions.run_migrations import migrations
from local.servers.http_server import HttpServer
from local.servers.postgres import Postgres

CALL = 0.020  # seconds that the bus takes
THROTTLED = 20  # one call in so many
EVENTS = 100_000
LAMBDA = 60.0  # seconds: the function's Timeout in template.yaml


class Bus:
    """EventBridge's PutEvents; remembers the numbers of each stream as they came, and tells them to a GET.

    From the path `/throttled` on, it throttles.
    """

    def __init__(self) -> None:
        self._taken: defaultdict[str, list[int]] = defaultdict(list)
        self._calls = self._connections = 0
        self._throttles = False
        lock = threading.Lock()
        bus = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            had_a_call = False

            def do_POST(self) -> None:
                entries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Entries"]
                time.sleep(CALL)
                with lock:
                    bus._calls += 1
                    bus._connections += not self.had_a_call
                    self.had_a_call = True
                    throttled = bus._throttles and bus._calls % THROTTLED == 0
                    for entry in () if throttled else entries:
                        detail = json.loads(entry["Detail"])
                        if "number" in detail:
                            bus._taken[detail["stream"]].append(detail["number"])
                if throttled:
                    self._answer({"__type": "ThrottlingException", "message": "Rate exceeded"}, 400)
                else:
                    self._answer({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]})

            def do_GET(self) -> None:
                bus._throttles = self.path == "/throttled"
                self._answer({"taken": bus._taken, "calls": bus._calls, "connections": bus._connections})
                bus._taken.clear()
                bus._calls = bus._connections = 0

            def _answer(self, value: dict[str, Any], status: int = 200) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — named so by http.server
                """Keep silent."""

        self.server = HttpServer(Handler)


def _serve(told: Connection) -> None:
    told.send(Bus().server.start())
    signal.pause()


def main(events: int) -> None:
    """Measure a backlog over many streams, the same with throttled calls, and one over few streams."""
    told, telling = Pipe()
    process = Process(target=_serve, args=[telling], daemon=True)
    process.start()
    url = told.recv()
    os.environ |= {
        "AWS_ENDPOINT_URL_EVENTBRIDGE": url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "EVENT_BUS_NAME": "favorites",
        "POWERTOOLS_LOG_LEVEL": "ERROR",
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with Postgres(Path(folder) / "postgres") as postgres:
            os.environ["DATABASE_URL"] = postgres.url
            with psycopg.connect(postgres.url, autocommit=True, row_factory=dict_row) as db:
                migrations.run(db)
                _measure(url, db, events // 10, events)
                with urlopen(f"{url}/throttled"):  # noqa: S310 — our own server
                    print(f"One call in {THROTTLED} is throttled:")
                _measure(url, db, events // 10, events)
                _measure(url, db, 10, events // 100)
    process.kill()


def _measure(bus: str, db: psycopg.Connection[dict[str, Any]], streams: int, events: int) -> None:
    db.execute(
        """
        INSERT INTO outbox (stream, detail_type, detail)
        SELECT 's' || number %% %(streams)s, 'Numbered', json_build_object(
                   'stream', 's' || number %% %(streams)s, 'number', number, 'text', repeat('x', 300))
          FROM generate_series(0, %(events)s - 1) AS number
        """,
        {"streams": streams, "events": events},
    )
    db.execute("ANALYZE outbox")
    print(f"{events:,} events of {streams:,} streams, a bus that takes {CALL * 1000:.0f} ms a call")
    left = events
    while left:
        ends = time.monotonic() + LAMBDA
        context = SimpleNamespace(get_remaining_time_in_millis=lambda e=ends: (e - time.monotonic()) * 1000)
        started, cpu = time.monotonic(), time.process_time()
        done = lambda_handler({}, context)
        seconds, cpu = time.monotonic() - started, time.process_time() - cpu
        left = db.execute("SELECT count(*) AS left FROM outbox").fetchone()["left"]  # type: ignore[index]
        print(
            f"  {done['sent']:7,} sent in {seconds:5.1f} s: {done['sent'] / seconds:6,.0f} a second, "
            f"{left:,} left; {cpu / done['sent'] * 1000:.2f} ms of CPU an event"
        )
    with urlopen(bus) as answer:  # noqa: S310 — our own server
        told = json.load(answer)
    print(f"  {told['calls']:,} calls over {told['connections']} connections")
    expected: defaultdict[str, list[int]] = defaultdict(list)
    for number in range(events):
        expected[f"s{number % streams}"].append(number)
    assert told["taken"] == expected, "an event was lost, repeated or out of its stream's order"
    print("  every stream arrived whole, once and in its order")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS)

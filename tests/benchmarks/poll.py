"""A poll of 100,000 products: `python -m tests.benchmarks.poll [products]`.

Everything is real: PostgreSQL, Valkey, an HTTP server with the catalog, and WarmProductCacheFunction in the
Lambda runtime on its emulator. Printed are the seconds of the first fill, of an unchanged run and of one with
1 % changed, the rows that each wrote, and the largest memory that the runtime process ever had (VmHWM). That
it is one statement for a thousand products, tests/integration/poll/test_warm_product_cache.py proves.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
from psycopg.rows import dict_row

from functions.run_migrations import migrations
from local.aws.execution_environment import ExecutionEnvironment, FunctionSettings
from local.lifeline import Lifeline
from local.servers.backing import BackingServices
from local.servers.http_server import HttpServer

ROOT = Path(__file__).resolve().parents[2]
# At most, up to 100,000 products and beyond: seconds of a run, and MB. Lambda ends the function after 900 s.
FEW, MANY = (15, 128), (900, 400)


class Catalog:
    """A catalog that serves one list, made beforehand."""

    def __init__(self, count: int) -> None:
        self._products = [_product(number) for number in range(1, count + 1)]
        self._body = b""
        self._encode()
        catalog = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(catalog._body)))
                self.end_headers()
                self.wfile.write(catalog._body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — named so by http.server
                """Keep silent."""

        self.server = HttpServer(Handler)

    @property
    def megabytes(self) -> float:
        """The size of the list."""
        return len(self._body) / 1e6

    def change(self, chosen: slice) -> int:
        """Raise the prices of the chosen products; how many they are."""
        changed = self._products[chosen]
        for product in changed:
            product["price"] += 1
        self._encode()
        return len(changed)

    def _encode(self) -> None:
        self._body = json.dumps(self._products, separators=(",", ":")).encode()


def _product(number: int) -> dict[str, Any]:
    """As long as the sample catalog's products are on average: about 560 bytes."""
    return {
        "id": number,
        "title": f"Product {number} with a title as long as titles are",
        "price": float(Decimal(number % 9_000) + Decimal("9.95")),
        "description": "As good as any that was ever described at the length which shops use. " * 4,
        "category": ("kitchen", "garden", "tools", "electronics")[number % 4],
        "image": f"https://images.example.com/products/{number}/front-1200x1200.jpg",
        "rating": {"rate": round(1 + number % 40 / 10, 1), "count": number % 500},
    }


def main(count: int) -> None:
    """Measure and print."""
    with ExitStack() as running, tempfile.TemporaryDirectory() as data:
        catalog = Catalog(count)
        running.callback(catalog.server.stop)
        settings = {"CATALOG_URL": catalog.server.start()}
        variables = running.enter_context(
            BackingServices(data=Path(data), settings=settings, log=print)
        ).settings
        db = running.enter_context(
            psycopg.connect(variables["DATABASE_URL"], autocommit=True, row_factory=dict_row)
        )
        migrations.run(db)
        client = running.enter_context(redis.Redis.from_url(variables["REDIS_URL"]))
        lifeline = running.enter_context(Lifeline())
        declared = FunctionSettings(
            "WarmProductCacheFunction",
            "functions.warm_product_cache.handler.lambda_handler",
            900,
            512,
            variables,
        )
        function = ExecutionEnvironment(declared, ROOT, lifeline, _failures_only)
        running.callback(function.stop)

        seconds, memory = FEW if count <= 100_000 else MANY
        print(f"{count:,} products, at most {seconds} s and {memory} MB")
        print(f"{catalog.megabytes:.0f} MB; load average {os.getloadavg()[0]:.1f}")
        _run("first fill", function, db, client)
        _run("unchanged", function, db, client)
        _run("unchanged again", function, db, client)
        changed = catalog.change(slice(None, None, 100))
        _run(f"{changed:,} changed", function, db, client)
        print(f"runtime process: {_peak(function):.0f} MB at its peak (VmHWM)")


def _run(
    what: str, function: ExecutionEnvironment, db: psycopg.Connection[dict[str, Any]], client: redis.Redis
) -> None:
    client.config_resetstat()
    moment, started, cpu = datetime.now(UTC), time.perf_counter(), _cpu(function)
    answer = json.loads(function.invoke(b"{}"))
    seconds = time.perf_counter() - started
    row = db.execute("SELECT count(*) AS written FROM products WHERE fetched_at > %s", [moment]).fetchone()
    print(
        f"{what}: {seconds:.1f} s, of it {_cpu(function) - cpu:.1f} s of the function's own CPU"
        f"; {answer}; {row['written'] if row else 0:,} rows written;"
        f" {client.info('stats')['total_commands_processed']:,} Valkey commands; {_peak(function):.0f} MB"
    )


def _runtime(function: ExecutionEnvironment) -> psutil.Process | None:
    # The emulator's child is the runtime with the function in it; it starts with the first invocation.
    children = psutil.Process(function._process.pid).children(recursive=True)
    return children[0] if children else None


def _cpu(function: ExecutionEnvironment) -> float:
    process = _runtime(function)
    return sum(process.cpu_times()[:2]) if process else 0.0


def _peak(function: ExecutionEnvironment) -> float:
    """In MB."""
    process = _runtime(function)
    status = Path(f"/proc/{process.pid}/status").read_text() if process else ""
    return next(
        (int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM")), 0.0
    )


def _failures_only(line: str) -> None:
    if '"level":"' in line and '"level":"INFO"' not in line:
        print(line)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000)

"""Warm latency and memory of the two hot paths, beside bare handlers: `python -m tests.benchmarks.warm`.

Everything is real: PostgreSQL, Valkey, the Lambda runtime on its emulator. The handler and what it is
compared with take turns, request by request, so that the noise of the machine falls on both; printed are the
medians of several rounds, and what a request asked of the backing services.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import redis
from psycopg.rows import dict_row

from functions.run_migrations import migrations
from local.aws.execution_environment import ExecutionEnvironment, FunctionSettings
from local.processes.lifeline import Lifeline
from local.servers.backing import Backing
from local.servers.catalog import Catalog
from shared.favorites import pages

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, REQUESTS = 5, 400
PRODUCT_LIMIT, FAVORITES_LIMIT = 1.25, 1.5  # times the bare handler's p50
PRODUCT_MEMORY, DATABASE_MEMORY = 100, 130  # MB resident


def main() -> None:
    """Measure and print."""
    with ExitStack() as running, tempfile.TemporaryDirectory() as data:
        backing = running.enter_context(Backing(data=Path(data), settings={}, log=print))
        variables, catalog = backing.settings, backing.catalog
        assert catalog is not None
        lifeline = running.enter_context(Lifeline())
        connection = running.enter_context(
            psycopg.connect(variables["DATABASE_URL"], autocommit=True, row_factory=dict_row)
        )
        migrations.run(connection)
        client = running.enter_context(redis.Redis.from_url(variables["REDIS_URL"]))

        def environment(handler: str) -> ExecutionEnvironment:
            settings = FunctionSettings(handler, handler, 15, 512, variables)
            started = ExecutionEnvironment(settings, ROOT, lifeline, lambda _line: None)
            running.callback(started.stop)
            return started

        _product(environment, client, catalog)
        _favorites(environment, connection, client, catalog)


def _product(environment: Any, client: redis.Redis, catalog: Catalog) -> None:
    function = environment("functions.get_product.handler.lambda_handler")
    bare = environment("tests.benchmarks.bare_product.handler.lambda_handler")
    event = _event("get_product")
    for _ in range(20):
        _invoke(function, event)
        _invoke(bare, event)
    commands, calls = _commands(client), catalog.calls.total()
    answer = _invoke(function, event)
    assert answer["headers"]["X-Cache"] == "hit", answer
    print(f"cached product: {_commands(client) - commands - 1} Valkey commands", end=", ")
    print(f"{catalog.calls.total() - calls} catalog calls")
    _compare("GET /products/7, cached", function, event, bare, event, PRODUCT_LIMIT)
    _memory("get_product", function, PRODUCT_MEMORY)


def _favorites(environment: Any, connection: Any, client: redis.Redis, catalog: Catalog) -> None:
    create, login = (
        environment(f"functions.{name}.handler.lambda_handler") for name in ("create_client", "login")
    )
    _invoke(create, _event("create_client"))
    credentials = json.loads(_event("create_client")["body"])
    event = _event("login")
    event["body"] = json.dumps({name: credentials[name] for name in ("email", "password")})
    token = json.loads(_invoke(login, event)["body"])["access_token"]
    _invoke(environment("functions.list_products.handler.lambda_handler"), _event("list_products"))
    client_id: UUID = connection.execute("SELECT client_id FROM clients").fetchone()["client_id"]
    connection.execute(
        """
        INSERT INTO favorites (client_id, product_id, price_when_favorited)
        SELECT %s, product_id, price FROM products LIMIT 30
        """,
        (client_id,),
    )
    connection.execute("ANALYZE")

    function = environment("functions.list_favorites.handler.lambda_handler")
    bare = environment("tests.benchmarks.bare_favorites.handler.lambda_handler")
    event = _event("list_favorites")
    event["headers"]["authorization"] = f"Bearer {token}"
    event["queryStringParameters"] = {"limit": "20"}
    parameters = {"client_id": str(client_id), "limit": 21, "value": None, "product_id": None}
    parameters |= {"available": None, "category": None, "price_dropped": None}
    bare_event = {"sql": pages.statement(pages.ORDERS["-favorited_at"]), "parameters": parameters}
    for _ in range(20):
        _invoke(function, event)
        _invoke(bare, bare_event)
    commands, calls = _commands(client), catalog.calls.total()
    assert len(json.loads(_invoke(function, event)["body"])["items"]) == 20
    print(f"favorites page: {_commands(client) - commands - 1} Valkey commands", end=", ")
    print(f"{catalog.calls.total() - calls} catalog calls (1 SQL statement: see the integration tests)")
    _compare("GET /favorites, 20 of 30", function, event, bare, bare_event, FAVORITES_LIMIT)
    _memory("list_favorites", function, DATABASE_MEMORY)
    _memory("login (Argon2id)", login, DATABASE_MEMORY)


def _compare(
    name: str,
    function: ExecutionEnvironment,
    event: Any,
    bare: ExecutionEnvironment,
    bare_event: Any,
    limit: float,
) -> None:
    medians: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        ours, theirs = [], []
        for _ in range(REQUESTS):
            ours.append(_timed(function, event))
            theirs.append(_timed(bare, bare_event))
        medians.append((statistics.median(ours), statistics.median(theirs)))
    ratios = [ours / theirs for ours, theirs in medians]
    ours, theirs = (statistics.median(column) for column in zip(*medians, strict=True))
    print(
        f"{name}: p50 {ours * 1000:.2f} ms, bare {theirs * 1000:.2f} ms, ratio "
        f"{statistics.median(ratios):.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f}; at most {limit})"
    )


def _memory(name: str, function: ExecutionEnvironment, limit: int) -> None:
    # The emulator's child is the runtime with the function in it.
    runtime = psutil.Process(function._process.pid).children(recursive=True)
    resident = sum(process.memory_info().rss for process in runtime) / 1e6
    print(f"{name}: {resident:.0f} MB resident (at most {limit})")


def _event(name: str) -> Any:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def _invoke(function: ExecutionEnvironment, event: Any) -> Any:
    return json.loads(function.invoke(json.dumps(event).encode()))


def _timed(function: ExecutionEnvironment, event: Any) -> float:
    payload = json.dumps(event).encode()
    started = time.perf_counter()
    function.invoke(payload)
    return time.perf_counter() - started


def _commands(client: redis.Redis) -> int:
    return int(client.info("stats")["total_commands_processed"])  # the INFO itself counts the next time


if __name__ == "__main__":
    main()

"""10 thousand favorites beside 10 million.

The functions' code on real servers, without a Lambda runtime: every favorites operation on both sizes in
turns, and the plan of each statement that they run, which has to be a bounded index scan. Then on 10 million:
a poll that reprices 1,000 products, one of them held by 5 million clients, with pushes beside it; the outbox
with a backlog; the removal of a client with 50,000 favorites.

It fills a database of 4 GB in .local/scale/ (about two minutes) and removes it afterwards, unless told to
keep it for the next run.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from tests.benchmarks import operations, outbox, poll, shop
from tests.benchmarks.figures import Part, Table, shown
from tests.benchmarks.fixtures import filling, sessions
from tests.benchmarks.fixtures.filling import LARGE, SMALL, Size
from tests.benchmarks.fixtures.function_process import ROOT, FunctionProcess, Step

FOLDER = ROOT / ".local" / "scale"
NEEDED = 8e9  # bytes on the disk: the database, its log, and room to make its indexes

# As a server for this much data would have it: all of it in memory, as the smaller one is anyway.
# A table that is read as a whole stays there if it is at most a quarter of it.
POSTGRES = {"shared_buffers": "5GB", "max_wal_size": "8GB", "effective_cache_size": "8GB"}
FILLING = POSTGRES | {"wal_level": "minimal", "max_wal_senders": "0"}  # indexes are made without a log

ROUNDS, REQUESTS = 5, 400
REPRICED = 1_000  # products


@dataclass(frozen=True)
class Filled:
    postgres: Postgres
    variables: dict[Size, dict[str, str]]

    def connect(self, size: Size) -> filling.Connection:
        connection = psycopg.connect(
            self.variables[size]["DATABASE_URL"], autocommit=True, row_factory=dict_row
        )
        connection.execute("SET statement_timeout = 0")
        return connection


@contextmanager
def databases(*, keep: bool = False) -> Iterator[Filled]:
    """Both sizes, filled, on a server that writes through to the disk; removed afterwards unless kept."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    complete = FOLDER / "filled"
    if not complete.exists():
        shutil.rmtree(FOLDER)
        FOLDER.mkdir()
        if (free := shutil.disk_usage(FOLDER).free) < NEEDED:
            sys.exit(f"{NEEDED / 1e9:.0f} GB are needed in {FOLDER}, and {free / 1e9:.1f} GB are free.")
        with Postgres(FOLDER / "postgres", durable=False, settings=FILLING) as postgres:
            _fill(postgres)
        complete.touch()
    try:
        with Postgres(FOLDER / "postgres", settings=POSTGRES) as postgres, Valkey(FOLDER) as valkey:
            keys = json.dumps({"benchmark": "a secret for benchmarks that is longer than 32 bytes"})
            os.environ["ACCESS_TOKEN_KEYS"] = keys  # the tokens of requests are issued in this process
            common = outbox.SETTINGS | {
                "REDIS_URL": valkey.url,
                "CATALOG_URL": "http://127.0.0.1:9",  # nobody: what is asked for is known
                "ACCESS_TOKEN_KEYS": keys,
            }
            urls = {size: _url(postgres, size) for size in (SMALL, LARGE)}
            filled = Filled(postgres, {size: common | {"DATABASE_URL": url} for size, url in urls.items()})
            with filled.connect(LARGE) as connection:
                filling.bring_into_memory(connection)
            yield filled
    finally:
        if not keep:
            shutil.rmtree(FOLDER)


def _url(postgres: Postgres, size: Size) -> str:
    return postgres.url if size is LARGE else f"{postgres.url}_small"


def _fill(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        name = sql.Identifier(_url(postgres, SMALL).rpartition("/")[2])
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    for size in (SMALL, LARGE):
        started = time.monotonic()
        with (
            psycopg.connect(_url(postgres, size), autocommit=True, row_factory=dict_row) as connection,
            redirect_stdout(sys.stderr),
        ):
            filling.fill(connection, size)
        print(f"{size.name} filled in {time.monotonic() - started:.0f} s", file=sys.stderr)


def measure(filled: Filled, rounds: int = ROUNDS, requests: int = REQUESTS) -> Part:
    part = Part("scale")
    with ExitStack() as running:
        catalog = poll.Catalog(LARGE.products)
        variables = {size: dict(filled.variables[size]) for size in (SMALL, LARGE)}
        variables[LARGE]["CATALOG_URL"] = catalog.server.start()
        running.callback(catalog.server.stop)
        bus = outbox.Bus()
        variables[LARGE]["AWS_ENDPOINT_URL_EVENTBRIDGE"] = bus.server.start()
        running.callback(bus.server.stop)
        processes = {size: running.enter_context(FunctionProcess(variables[size])) for size in (SMALL, LARGE)}
        db = running.enter_context(filled.connect(LARGE))
        beside = running.enter_context(FunctionProcess(variables[LARGE]))
        large = processes[LARGE]
        operations.measure(part, processes, rounds, requests)
        _bytes(part, db)
        _reprice(part, large, beside, catalog)
        shop.measure(part, large, variables[LARGE], db, rounds, requests)
        _alerts(part, large, db)
        _outbox(part, bus, large, db)
        _remove(part, large)
    return part


# ── What the database takes ───────────────────────────────────────────────────────────────────────────────


def _bytes(part: Part, db: filling.Connection) -> None:
    rows = []
    for table in ("favorites", "clients", "products"):
        count = getattr(LARGE, table)
        row = db.execute(
            "SELECT pg_table_size(%(table)s) AS rows, pg_indexes_size(%(table)s) AS indexes", {"table": table}
        ).fetchone()
        assert row is not None
        of_each = [f"{row[name] / count:.0f}" for name in ("rows", "indexes")]
        rows.append([table, f"{count:,}", *of_each, f"{(row['rows'] + row['indexes']) / 1e9:.2f}"])
    part.tables.append(Table("Size", ["", "rows", "bytes a row", "of indexes", "GB in all"], rows))


# ── The catalog's changes ─────────────────────────────────────────────────────────────────────────────────


def _reprice(part: Part, polling: FunctionProcess, pushing: FunctionProcess, catalog: poll.Catalog) -> None:
    run = Step("a poll", "warm_product_cache", {}, None)
    polling.answer(run)  # the copy is what the catalog is
    slowest: list[float] = []
    pushes: list[float] = []
    for _ in range(3):
        catalog.change(slice(0, REPRICED))
        with _pushes(pushing, pushes):
            executed = polling.statements(run)
        slowest.append(max(statement["seconds"] for statement in executed))
    part.values["scale.reprice"] = max(slowest)
    part.values["scale.push"] = max(pushes)
    part.notes.append(
        f"Repriced {REPRICED:,} products in {len(slowest)} polls: the slowest statements took "
        f"{', '.join(shown(seconds, 's') for seconds in slowest)}; {len(pushes):,} pushes beside them took "
        f"{statistics.median(pushes) * 1000:.1f} ms (p50), {max(pushes) * 1000:.0f} ms at the most."
    )


@contextmanager
def _pushes(process: FunctionProcess, seconds: list[float]) -> Iterator[None]:
    """Push an unrelated product's change, again and again."""
    ends = threading.Event()

    def push() -> None:
        while not ends.is_set():
            seconds.extend(process.run([Step("a push", "refresh_product_cache", _pushed(), None)]))
            time.sleep(0.01)  # a client beside it, not a second load

    thread = threading.Thread(target=push)
    thread.start()
    yield
    ends.set()
    thread.join()


def _pushed() -> Any:
    message = json.loads((ROOT / "events" / "refresh_product_cache.json").read_text())
    record = message["Records"][0]
    body = json.loads(record["body"])
    body["detail"]["version"] = time.time_ns() // 1_000_000
    body["detail"]["product"] |= {"id": LARGE.products, "price": time.time_ns() % 100_000 / 100}
    return {"Records": [record | {"body": json.dumps(body)}]}


def _alerts(part: Part, process: FunctionProcess, db: filling.Connection) -> None:
    """All alerts of the product that has most of them fire; the time is told for 100,000."""
    send, publish = (Step(name, name, {}, None) for name in ("send_alerts", "publish_events"))
    process.answer(send)  # what the polls have left
    db.execute("TRUNCATE outbox")
    db.execute(
        """
        INSERT INTO alert_jobs (product_id, kind, old_price, new_price, version)
        SELECT product_id, 'price', 1e9, 0, 1e15
          FROM favorite_alerts GROUP BY product_id ORDER BY count(*) DESC LIMIT 1
        """
    )
    started, recipients = time.perf_counter(), 0
    while sent := process.answer(send)["recipients"]:
        recipients += sent
    while process.answer(publish)["left"]:
        pass
    seconds = time.perf_counter() - started
    part.values["scale.alerts"] = seconds * 100_000 / recipients if recipients else math.inf
    part.notes.append(f"{recipients:,} alerts of one product fired in {seconds:.0f} s, their events sent.")


# ── The outbox, and the largest client ────────────────────────────────────────────────────────────────────


def _outbox(part: Part, bus: outbox.Bus, process: FunctionProcess, db: filling.Connection) -> None:
    seconds, sentence = outbox.measure(bus, process, db, 10_000, outbox.EVENTS)
    part.values["scale.outbox"] = seconds
    part.notes.append(sentence)


def _remove(part: Part, process: FunctionProcess) -> None:
    event = sessions.event("delete_client", filling.CLIENT, {"client_id": "me"})
    started = time.perf_counter()
    answer = process.answer(Step("removal", "delete_client", event, None))
    seconds = time.perf_counter() - started
    if answer["statusCode"] != 204:
        part.notes.append(f"The removal was answered {answer['statusCode']} after {seconds:.1f} s.")
    part.values["scale.remove"] = seconds if answer["statusCode"] == 204 else math.inf

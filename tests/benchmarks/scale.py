"""10 thousand favorites beside 10 million: `python -m tests.benchmarks.scale [--keep]`.

The functions' code on real servers, without a Lambda runtime: every favorites operation on both sizes in
turns, and the plan of each statement that they run, which has to be a bounded index scan. Then on 10 million:
a poll that reprices 1,000 products, one of them held by 5 million clients, with pushes beside it; the outbox
with a backlog; the removal of a client with 50,000 favorites.

It fills a database of 4 GB in .local/scale/ (about two minutes) and removes it afterwards; `--keep` leaves it
there for the next run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from local.servers.http_server import HttpServer
from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from tests.benchmarks import built, filling, poll, sessions, warm
from tests.benchmarks.figures import FIGURES, Part, Plot, Table, shown
from tests.benchmarks.filling import LARGE, SMALL, Size
from tests.benchmarks.function_process import ROOT, FunctionProcess, Step

FOLDER = ROOT / ".local" / "scale"
NEEDED = 8e9  # bytes on the disk: the database, its log, and room to make its indexes

# As a server for this much data would have it: all of it in memory, as the smaller one is anyway.
# A table that is read as a whole stays there if it is at most a quarter of it.
POSTGRES = {"shared_buffers": "5GB", "max_wal_size": "8GB", "effective_cache_size": "8GB"}
FILLING = POSTGRES | {"wal_level": "minimal", "max_wal_senders": "0"}  # indexes are made without a log

ROUNDS, REQUESTS = 5, 400
PAGES_A_ROW = 12  # 8 kB pages that a row may cost: descents of three indexes, and the row itself
PAGES_A_STATEMENT = 60  # and what a statement costs besides
BUS_SECONDS = 0.02  # for a call of the event bus
BACKLOG = 100_000  # events
REPRICED = 1_000  # products
TURN = 20  # sessions on one size before the other has its turn


def main() -> None:
    """Measure and print; ends with 1 where a figure is over its limit."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument(
        "--requests", type=int, default=REQUESTS, help="of each operation and size in a round"
    )
    arguments.add_argument("--keep", action="store_true", help="leave the filled database in .local/scale/")
    chosen = arguments.parse_args()
    built.build()
    with databases(keep=chosen.keep) as filled:
        part = measure(filled, chosen.rounds, chosen.requests)
    sys.exit(not part.print())


@dataclass(frozen=True)
class Filled:
    """Two databases on one server, and the settings for functions that use them."""

    postgres: Postgres
    variables: dict[Size, dict[str, str]]

    def connect(self, size: Size) -> filling.Connection:
        """An autocommit connection for whoever looks on, without the functions' deadline."""
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
        with (
            Postgres(FOLDER / "postgres", settings=POSTGRES) as postgres,
            Valkey(FOLDER) as valkey,
        ):
            keys = json.dumps({"benchmark": "a secret for benchmarks that is longer than 32 bytes"})
            os.environ["ACCESS_TOKEN_KEYS"] = keys  # the tokens of requests are issued in this process
            common = {
                "REDIS_URL": valkey.url,
                "CATALOG_URL": "http://127.0.0.1:9",  # nobody: what is asked for is known
                "ACCESS_TOKEN_KEYS": keys,
                "EVENT_BUS_NAME": "favorites",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "nobody",
                "AWS_SECRET_ACCESS_KEY": "nothing",
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
    """All of it."""
    part = Part("scale")
    with ExitStack() as running:
        catalog = poll.Catalog(LARGE.products)
        variables = {size: dict(filled.variables[size]) for size in (SMALL, LARGE)}
        variables[LARGE]["CATALOG_URL"] = catalog.server.start()
        running.callback(catalog.server.stop)
        bus = HttpServer(_Bus)
        for settings in variables.values():
            settings["AWS_ENDPOINT_URL_EVENTBRIDGE"] = bus.start()
        running.callback(bus.stop)
        processes = {size: running.enter_context(FunctionProcess(variables[size])) for size in (SMALL, LARGE)}
        db = running.enter_context(filled.connect(LARGE))
        beside = running.enter_context(FunctionProcess(variables[LARGE]))
        for what, measured in {
            "favorites": partial(_operations, part, processes, rounds, requests),
            "bytes": partial(_bytes, part, db),
            "reprice": partial(_reprice, part, processes[LARGE], beside, catalog),
            "pages of a shop": partial(_shop, part, processes[LARGE], variables[LARGE], rounds, requests),
            "outbox": partial(_outbox, part, processes[LARGE], db),
            "removal": partial(_remove, part, processes[LARGE]),
        }.items():
            started = time.monotonic()
            measured()
            print(f"{what}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return part


# ── Favorites ─────────────────────────────────────────────────────────────────────────────────────────────


def _operations(part: Part, processes: dict[Size, FunctionProcess], rounds: int, requests: int) -> None:
    shoppers = {size: sessions.Sessions(size, process) for size, process in processes.items()}
    planned = {size: plans(shoppers[size], process) for size, process in processes.items()}
    times: dict[tuple[str, Size], list[list[float]]] = defaultdict(list)
    for turn in range(rounds + 1):
        round_of: dict[tuple[str, Size], list[float]] = defaultdict(list)
        for _ in range(requests // TURN):
            for size, process in processes.items():
                steps = [step for _ in range(TURN) for step in shoppers[size].next()]
                for step, seconds in zip(steps, process.run(steps), strict=True):
                    round_of[step.name, size].append(seconds)
        if turn:  # the first only brings what is asked for into memory
            for key, seconds_of_round in round_of.items():
                times[key].append(seconds_of_round)
    rows = []
    ratios = {}
    for name in sessions.ROWS:
        p50, p99 = (
            {size: _percentiles(times[name, size], part) for size in processes} for part in (0.5, 0.99)
        )
        ratios[name] = _ratio(p99[LARGE], p99[SMALL])
        rows.append(
            [
                name,
                *(_milliseconds(p[size]) for p in (p50, p99) for size in (SMALL, LARGE)),
                f"{_ratio(p50[LARGE], p50[SMALL]):.2f}",
                f"{ratios[name]:.2f}",
            ]
        )
    part.values["scale.p99"] = max(ratios.values())
    head = ["", *(f"{p} at {size.name}" for p in ("p50", "p99") for size in (SMALL, LARGE)), "p50 ÷", "p99 ÷"]
    part.tables.append(Table("Operations, in ms", head, rows))
    part.tables.append(_planned(planned[LARGE]))
    reasons = [f"{size.name}, {reason}" for size, found in planned.items() for reason in all_unbounded(found)]
    part.values["scale.plans"] = len(reasons)
    part.notes += [f"No bounded index scan: {reason}." for reason in reasons]
    part.plots.append(
        Plot(
            "scale.png",
            "p99 of favorites operations",
            "ms",
            {
                name: {
                    size.name: statistics.median(_percentiles(times[name, size], 0.99)) * 1000
                    for size in (SMALL, LARGE)
                }
                for name in sessions.ROWS
            },
        )
    )


def _percentiles(rounds: Sequence[Sequence[float]], part: float) -> list[float]:
    """The percentile of each round."""
    return [sorted(seconds)[int(len(seconds) * part)] for seconds in rounds]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: what else the machine did in a round fell on both."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _milliseconds(rounds: Sequence[float]) -> str:
    return f"{statistics.median(rounds) * 1000:.2f}"


def plans(shoppers: sessions.Sessions, process: FunctionProcess) -> dict[str, list[dict[str, Any]]]:
    """The plans of each operation's statements."""
    found = {step.name: process.plans(step) for step in shoppers.next()}
    if silent := [name for name, plans in found.items() if not plans]:
        sys.exit(f"No statement was seen of: {', '.join(silent)}")
    return found


def all_unbounded(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Why which operation has a statement that is no bounded index scan."""
    return [
        f"{name}: {reason}"
        for name, planned in found.items()
        for plan in planned
        for reason in unbounded(plan, sessions.ROWS[name])
    ]


def unbounded(plan: dict[str, Any], rows: int) -> list[str]:
    """Why the plan is not that of an index scan that takes at most so many rows; empty where it is."""
    pages = PAGES_A_STATEMENT + PAGES_A_ROW * rows
    reasons = list(plan["whole_tables"])
    if plan["rows"] > rows:
        reasons.append(f"took {plan['rows']} rows of a table, not at most {rows}")
    if plan["sorted"] > rows:
        reasons.append(f"sorted {plan['sorted']} rows, not at most {rows}")
    if plan["pages"] > pages:
        reasons.append(f"looked at {plan['pages']} pages, not at most {pages}")
    return reasons


def _planned(operations: dict[str, list[dict[str, Any]]]) -> Table:
    rows = [
        [
            name if number == 0 else "",
            "; ".join(plan["scans"]) or "no table",
            str(plan["rows"]),
            str(plan["pages"]),
        ]
        for name, plans in operations.items()
        for number, plan in enumerate(plans)
    ]
    return Table(
        f"How each statement reads at {LARGE.name}: at most so many rows of a table, and 8 kB pages in all",
        ["", "scans", "rows", "pages"],
        rows,
    )


# ── What the database takes ───────────────────────────────────────────────────────────────────────────────


def _bytes(part: Part, db: filling.Connection) -> None:
    rows = []
    for table, count in (
        ("favorites", LARGE.favorites),
        ("clients", LARGE.clients),
        ("products", LARGE.products),
    ):
        row = db.execute(
            "SELECT pg_table_size(%(table)s) AS rows, pg_indexes_size(%(table)s) AS indexes", {"table": table}
        ).fetchone()
        assert row is not None
        rows.append(
            [
                table,
                f"{count:,}",
                *(f"{row[name] / count:.0f}" for name in ("rows", "indexes")),
                f"{(row['rows'] + row['indexes']) / 1e9:.2f}",
            ]
        )
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


# ── What the pages of a shop ask for ──────────────────────────────────────────────────────────────────────


def _shop(
    part: Part, process: FunctionProcess, variables: dict[str, str], rounds: int, requests: int
) -> None:
    """Built functions on the Lambda runtime, each beside what its limit names."""
    shoppers = sessions.Sessions(LARGE, process)
    shopper, client = 1, filling.client_id(filling.CLIENT)
    rows = []
    with ExitStack() as running:
        start = warm.Start(variables, running)
        asked = shoppers.ids("ids", shopper).event
        known = shoppers.ids("ids", filling.CLIENT, shoppers.etag).event
        one_row = "SELECT favorites_count, favorites_revision FROM clients WHERE client_id = %(client_id)s"
        path = {"product_id": LARGE.product_of(shopper, 2 * filling.EACH)}
        changing, removing = start.ours("change_favorites"), start.ours("remove_favorite")
        add, remove = (shoppers.change(f"{what} 100", shopper).event for what in ("add", "remove"))
        remove_one = sessions.event("remove_favorite", shopper, path)
        forty = {"product_id": ",".join(str(number) for number in range(1, sessions.ASKED + 1))}
        pairs = {
            "shop.ids": (
                warm.Subject(start.ours("list_favorite_ids"), asked),
                warm.Subject(start.bare("statement"), start.statements("list_favorite_ids", asked)),
            ),
            "shop.known": (
                warm.Subject(start.ours("list_favorite_ids"), known),
                warm.Subject(
                    start.bare("statement"), {"statements": [[one_row, {"client_id": str(client)}]]}
                ),
            ),
            "shop.changes": (
                warm.Subject(changing, add, partial(warm.invoke, changing, remove)),
                warm.Subject(
                    start.ours("add_favorite"),
                    sessions.event("add_favorite", shopper, path),
                    partial(warm.invoke, removing, remove_one),
                ),
            ),
            "shop.products": (
                warm.Subject(
                    start.ours("list_products"), sessions.event("list_products", shopper, query=forty)
                ),
                warm.Subject(
                    start.ours("get_product"), sessions.event("get_product", shopper, {"product_id": "7"})
                ),
            ),
        }
        for key, (ours, other) in pairs.items():
            subjects = {warm.OURS: ours, warm.BARE: other}
            warm.check(key, subjects)
            found = warm.take_turns(subjects, rounds, requests)
            p50, _ = warm.ratios_of(found[warm.OURS], found[warm.BARE])
            part.values[key] = p50
            both = [
                f"{statistics.median(turn.percentile(0.5) for turn in found[who]) * 1000:.2f}"
                for who in subjects
            ]
            rows.append([FIGURES[key].what, *both, f"{p50:.2f}"])
    head = ["p50, in ms", "this service", "what it is compared with", "÷"]
    part.tables.append(Table(f"What the pages of a shop ask for, at {LARGE.name}", head, rows))


# ── The outbox, and the largest client ────────────────────────────────────────────────────────────────────


class _Bus(BaseHTTPRequestHandler):
    """EventBridge's PutEvents, which takes all that it is given and its time."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take the entries."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(BUS_SECONDS)
        entries = [{"EventId": str(number)} for number, _ in enumerate(asked["Entries"])]
        body = json.dumps({"FailedEntryCount": 0, "Entries": entries}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — named so by http.server
        """Keep silent."""


def _outbox(part: Part, process: FunctionProcess, db: filling.Connection) -> None:
    db.execute("DELETE FROM outbox")
    db.execute(
        """
        INSERT INTO outbox (stream, detail_type, detail)
        SELECT 'client:' || n %% 10000, 'FavoriteAdded',
               json_build_object('client_id', md5(n::text)::uuid, 'product_id', n::text, 'price', 9.95,
                                 'favorited_at', rfc3339(now()))
          FROM generate_series(1, %(count)s) AS n
        """,
        {"count": BACKLOG},
    )
    db.execute("VACUUM (ANALYZE) outbox")
    run = Step("publish", "publish_events", {}, None)
    longest = spent = 0.0
    left, runs = BACKLOG, 0
    while left and spent < 120:
        (seconds,) = process.run([run])
        longest, spent, runs = max(longest, seconds), spent + seconds, runs + 1
        row = db.execute("SELECT count(*) AS left FROM outbox").fetchone()
        left = row["left"] if row else 0
    sent = BACKLOG - left
    part.values["scale.outbox"] = spent / sent * BACKLOG if sent else math.inf
    part.notes.append(
        f"Outbox: {sent:,} of {BACKLOG:,} events over 10,000 streams in {spent:.0f} s, by {runs} runs of at"
        f" most {longest:.0f} s, with a bus that takes {BUS_SECONDS * 1000:.0f} ms a call:"
        f" {sent / spent:,.0f} a second."
    )


def _remove(part: Part, process: FunctionProcess) -> None:
    event = sessions.event("delete_client", filling.CLIENT, {"client_id": "me"})
    started = time.perf_counter()
    answer = process.answer(Step("removal", "delete_client", event, None))
    seconds = time.perf_counter() - started
    if answer["statusCode"] != 204:
        part.notes.append(f"The removal was answered {answer['statusCode']} after {seconds:.1f} s.")
    part.values["scale.remove"] = seconds if answer["statusCode"] == 204 else math.inf


if __name__ == "__main__":
    main()

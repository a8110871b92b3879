"""Steady reads while the schedule runs: `python -m tests.benchmarks.hot [minutes] [times as fast] [changes]`.

The whole stack of `make run`, with prices that change in the catalog. Printed is the share of requests that
waited for the catalog: those with `X-Cache: miss` for a product, and the calls that came to the catalog
besides the polls. (A page that a price made obsolete is a miss too, but is made of the copy, without a call.)
20 minutes at the schedule's own pace are the default; `3 10` is half an hour of it in three minutes, with a
TTL of 30 seconds and a poll every 24. With `changes`, so many prices a second change, each with an event, and
30 requests a second read the first pages alone: `1 1 50` against `1 1 1`.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import httpx

from local.servers.catalog import sample_products
from local.stack import Stack

TTL, POLL = 300, 240  # seconds
READERS = 3
PAUSE = 0.05  # seconds between two requests of a reader
PAGES = ["/products", "/products?sort=price", "/products?category=kitchen", "/products?limit=50"]
POLLED = "schedule | warm_product_cache"


class Readers:
    def __init__(self, url: str, *, pages_only: bool) -> None:
        self._url = url
        self._weights = [0, 1] if pages_only else [4, 1]
        self._interval = READERS / 30 if pages_only else 0.0  # seconds from one request to the next
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._read, args=[seed]) for seed in range(READERS)]
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.seconds: list[float] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, seed: int) -> None:
        chance = random.Random(seed)
        products = [f"/products/{product['id']}" for product in sample_products()]
        with httpx.Client(base_url=self._url, timeout=20) as client:
            while not self._stop.is_set():
                kind = chance.choices(["product", "page"], self._weights)[0]
                path = chance.choice(products if kind == "product" else PAGES)
                started = time.perf_counter()
                answer = client.get(path)
                waited = time.perf_counter() - started
                with self._lock:
                    self.answers[kind, answer.status_code, answer.headers.get("X-Cache", "-")] += 1
                    self.seconds.append(waited)
                time.sleep(max(PAUSE, self._interval - waited))


def main(minutes: float, faster: float = 1, changes: float = 0) -> None:
    polls: list[str] = []

    def log(line: str) -> None:
        if POLLED in line:
            polls.append(line)
        elif '"level":"ERROR"' in line or '"level":"WARNING"' in line:
            print(line)

    with (
        tempfile.TemporaryDirectory() as data,
        Stack(
            data=Path(data),
            settings={"PRODUCT_CACHE_TTL_SECONDS": str(round(TTL / faster))},
            schedule_seconds=POLL / faster,
            log=log,
        ) as stack,
    ):
        catalog = stack.backing.catalog
        assert catalog is not None
        before, calls_before = len(polls), catalog.calls
        readers = Readers(stack.url, pages_only=bool(changes))
        readers.start()
        ends = time.monotonic() + minutes * 60
        for price in itertools.count(1):
            pause = 1 / changes if changes else 10.0 / faster
            time.sleep(min(pause, max(0.0, ends - time.monotonic())))
            if time.monotonic() >= ends:
                break
            catalog.set_price(price % 20 + 1, Decimal(price) / 10)
            if changes:
                catalog.push(price % 20 + 1)
        readers.stop()
        calls = catalog.calls - calls_before

    for (kind, status, state), count in sorted(readers.answers.items()):
        print(f"{kind} {status} {state}: {count:,}")
    print(
        f"{len(polls) - before} polls, {calls['/products']} readings of the list,"
        f" {calls.total() - calls['/products']} of one product"
    )
    total, seconds = readers.answers.total(), sorted(readers.seconds)
    waited = sum(
        count for (kind, _, state), count in readers.answers.items() if (kind, state) == ("product", "miss")
    )
    print(
        f"{total:,} requests in {minutes:g} min at {faster:g} times the pace: {waited} waited"
        f" ({waited / total:.2%}); p50 {seconds[total // 2] * 1000:.1f} ms,"
        f" p99 {seconds[total * 99 // 100] * 1000:.1f} ms, longest {seconds[-1]:.2f} s"
    )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:] or ["20", "1"]))

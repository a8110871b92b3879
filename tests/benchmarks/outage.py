"""A large catalog goes away and comes back under readers: `python -m tests.benchmarks.outage [products]`.

The whole stack of `make run`: a list of 100,000 products (51 MB), a TTL of 20 s, a poll every 15 s, 8
readers. The catalog is down for 40 s. Printed are how long the start took and what the first reader got, what
readers got before, during and after the outage, and how long after the catalog was back the list was fresh
again, which may be one interval and the duration of a poll.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from local.stack import Stack
from tests.benchmarks.poll import Catalog

TTL, INTERVAL, DOWN = 20, 15, 40  # seconds
READERS = 8
PAGES = ["/products", "/products?sort=price", "/products?category=garden", "/products?limit=50"]
PAUSE = 0.02  # seconds between two requests of a reader


class Readers:
    """Ask for pages and products until they are told to stop; `phase` is counted with what they get."""

    def __init__(self, url: str, products: int) -> None:
        self._url = url
        self._products = products
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._read, args=[number]) for number in range(READERS)]
        self.phase = "before"
        self.answers: Counter[tuple[str, str, int, str]] = Counter()
        self.longest: Counter[str] = Counter()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                number += 1
                path = PAGES[number % 4] if number % 2 else f"/products/{number * 7 % self._products + 1}"
                phase, started = self.phase, time.perf_counter()
                answer = client.get(path)
                waited = time.perf_counter() - started
                kind = "page" if number % 2 else "product"
                with self._lock:
                    self.answers[phase, kind, answer.status_code, answer.headers.get("X-Cache", "-")] += 1
                    self.longest[phase] = max(self.longest[phase], round(waited * 1000))
                time.sleep(PAUSE)


def main(count: int) -> None:
    """Run, and print."""
    polls: list[tuple[float, str]] = []

    def log(line: str) -> None:
        if line.startswith(("schedule | warm", "The catalog")):
            polls.append((time.monotonic(), line))
            print(f"  {line[:160]}", flush=True)

    catalog = Catalog(count)
    url = catalog.server.start()
    print(f"{count:,} products, {catalog.megabytes:.0f} MB; TTL {TTL} s, a poll every {INTERVAL} s")
    settings = {"PRODUCT_CACHE_TTL_SECONDS": str(TTL), "CATALOG_URL": url}
    with tempfile.TemporaryDirectory() as data:
        started = time.monotonic()
        with Stack(data=Path(data), settings=settings, schedule_seconds=INTERVAL, log=log) as stack:
            first = httpx.get(f"{stack.url}/products", timeout=10)
            print(
                f"ready after {time.monotonic() - started:.1f} s;"
                f" the first reader: {first.status_code}, X-Cache {first.headers.get('X-Cache')}"
            )
            readers = Readers(stack.url, count)
            time.sleep(INTERVAL)
            readers.phase = "down"
            catalog.server.stop()
            time.sleep(DOWN)
            catalog.server.start()
            back, readers.phase = time.monotonic(), "after"
            fresh = _seconds_until_fresh(stack.url, back)
            readers.phase = "fresh"
            time.sleep(2 * INTERVAL)
            readers.stop()
    catalog.server.stop()
    for (phase, kind, status, state), number in sorted(readers.answers.items()):
        print(f"{phase}: {kind} {status} {state}: {number:,}")
    print("longest wait in ms:", dict(readers.longest))
    print(f"fresh {fresh:.1f} s after the catalog was back (at most {INTERVAL} s and the duration of a poll)")


def _seconds_until_fresh(url: str, back: float) -> float:
    while time.monotonic() - back < 300:
        if int(httpx.get(f"{url}/products", timeout=30).headers["Age"]) < time.monotonic() - back:
            return time.monotonic() - back
        time.sleep(0.1)
    return float("inf")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000)

"""One GET of the catalog: bounded in time and bytes, without redirects, on a connection that works."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import IO

import urllib3

from shared.platform import deadlines, metrics, settings
from shared.products.catalog.availability import MAX_RETRY_AFTER, AnswerTooLong, breaker, refuse

TIMEOUT = 2.0  # seconds from the request to the last byte of the answer
# Seconds for which an unused connection is kept. Servers close theirs after 5 s and more, and an environment
# that sleeps between two polls does not notice.
KEEP_ALIVE = 4.0
_CHUNK = 65_536  # bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the catalog answered: its status, and its headers by their lower-case names."""

    status: int
    headers: Mapping[str, str]


class _TooLong(Exception):
    """More bytes than were allowed came in."""


_used_at = 0.0  # seconds since the epoch: a frozen environment's monotonic clock may stand still


def reset() -> None:
    """Forget connections and failures."""
    global _used_at
    _pool.cache_clear()
    _used_at = 0.0
    breaker.reset()


def get(
    url: str,
    into: IO[bytes],
    *,
    at_most: int,
    timeout: float = TIMEOUT,
    stall: float = TIMEOUT,
    unknown_statuses: tuple[int, ...] = (),
) -> Answer:
    """The answer, after the body of a 200 was written into the file; nothing for `unknown_statuses`.

    `stall` is how many seconds may pass without a byte. Raises CatalogUnavailable, and AnswerTooLong among
    them.
    """
    started = time.monotonic()
    place = without_query(url)
    try:
        # No socket timeout bounds the whole: one starts anew with every byte, and a name look-up knows none.
        seconds = deadlines.left(timeout)
        answer = deadlines.call(lambda: _exchange(url, into, seconds, stall, at_most), seconds)
    except _TooLong as error:
        breaker.succeeded()  # the catalog is healthy; this answer exceeds this caller's limit
        refuse(f"{place}: its answer is longer than {at_most} bytes", AnswerTooLong, error)
    except (urllib3.exceptions.HTTPError, OSError, zlib.error) as error:
        breaker.failed()
        refuse(f"{place}: it did not answer: {type(error).__name__} {error}".strip())
    if answer.status != 200 and answer.status not in unknown_statuses:
        breaker.failed()
        pause = retry_after(answer)
        if pause:
            breaker.throttled(pause)
        refuse(f"{place}: {_status_reason(answer)}", retry_after=max(5, int(pause)))
    breaker.succeeded()
    metrics.put({"CatalogTime": (round((time.monotonic() - started) * 1000, 1), "Milliseconds")})
    return answer


def retry_after(answer: Answer) -> float:
    """Seconds that a 429 or 503 asks to wait (RFC 9110 §10.2.3, its form in seconds), 10 minutes at most."""
    text = answer.headers.get("retry-after", "").strip()
    if answer.status not in (429, 503) or not text.isascii() or not text.isdigit():
        return 0.0
    return float(min(int(text[:9]), MAX_RETRY_AFTER))


def without_query(url: str) -> str:
    """The address for the log: a query may hold a key."""
    return url.partition("?")[0]


def _status_reason(answer: Answer) -> str:
    if answer.status in (301, 302, 303, 307, 308):
        location = without_query(answer.headers.get("location", "nowhere"))
        return f"it answered with status {answer.status} and Location {location}: set CATALOG_URL to that"
    if answer.status in (401, 403):
        return f"it answered with status {answer.status}: see CATALOG_AUTHORIZATION"
    return f"it answered with status {answer.status}"


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        maxsize=8,  # connections kept: a bulk request asks for so many products at once
        retries=False,  # nor redirects: an address that nobody configured is not called
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "favorites-service",
        },
    )


def _exchange(url: str, into: IO[bytes], timeout: float, stall: float, at_most: int) -> Answer:
    """The answer, after the body of a 200 was written."""
    global _used_at
    deadline = time.monotonic() + timeout
    is_kept = abs(time.time() - _used_at) <= KEEP_ALIVE
    if not is_kept:
        _pool().clear()
    headers = {**_pool().headers, **settings.catalog_headers()}

    def request() -> urllib3.BaseHTTPResponse:
        left = max(0.01, min(stall, deadline - time.monotonic()))
        return _pool().request(
            "GET", url, headers=headers, timeout=left, preload_content=False, redirect=False
        )

    response = _once_more_if_kept(request) if is_kept else request()
    try:
        answer = Answer(response.status, {name.lower(): value for name, value in response.headers.items()})
        if response.status == 200:
            _write_body(response, into, answer, deadline, at_most)
    finally:
        response.close()  # a connection whose answer was read to its end is in the pool again by now
    _used_at = time.time()
    return answer


def _once_more_if_kept(request: Callable[[], urllib3.BaseHTTPResponse]) -> urllib3.BaseHTTPResponse:
    """A kept connection may have been closed by the other side: before the first byte, a GET is repeated."""
    try:
        return request()
    except urllib3.exceptions.ProtocolError:
        _pool().clear()
        return request()


def _write_body(
    response: urllib3.BaseHTTPResponse, into: IO[bytes], answer: Answer, deadline: float, at_most: int
) -> None:
    received = 0
    decode = _decoder(answer.headers.get("content-encoding", "identity").strip().lower())
    # Not by read(): it would wait for bytes that trickle in one by one, long after the caller has given up.
    while chunk := response.read1(_CHUNK, decode_content=False):
        for part in decode(chunk):
            received += len(part)
            if received > at_most:
                raise _TooLong
            into.write(part)
        if time.monotonic() > deadline:
            raise OSError("an answer that does not end")


def _decoder(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    """What undoes a Content-Encoding, a part at a time; some servers compress although asked not to."""
    if encoding in ("", "identity"):
        return lambda chunk: iter((chunk,))
    if encoding not in ("gzip", "x-gzip"):
        raise OSError(f"the encoding {encoding[:20]!r}, which was not asked for")
    decompressor = zlib.decompressobj(wbits=31)

    def decode(chunk: bytes) -> Iterator[bytes]:
        while chunk:
            yield decompressor.decompress(chunk, _CHUNK)
            chunk = decompressor.unconsumed_tail

    return decode

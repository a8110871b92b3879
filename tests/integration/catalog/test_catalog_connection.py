"""The connection to the catalog: what closed it meanwhile, what it may cost, and when it is left alone."""

import gzip
import itertools
import socket
import struct
import threading
from contextlib import closing, suppress

import pytest
import simplejson

from local.servers.catalog import CatalogHandler
from shared.errors import CatalogUnavailable
from shared.products.catalog import availability, client, http_client, whole_list
from shared.products.catalog.availability import CircuitBreaker
from tests.hostile_catalog import Answer, HostileCatalog, product

pytestmark = pytest.mark.usefixtures("environment")

BYTES = 16 * 1024 * 1024
ONE = simplejson.dumps(product(7), use_decimal=True).encode()


def reset(connection: socket.socket) -> None:
    """Close it with a RST, at once and without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class FickleServer:
    """Answers one request on each connection and keeps it open; then `how` it ends, if it ends."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.connections: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections.append(connection)
                connection.recv(65_536)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ONE)}\r\n\r\n"
                connection.sendall(head.encode() + ONE)
                if self.how == "RST when used":
                    threading.Thread(target=self._reset_when_used, args=(connection,), daemon=True).start()

    @staticmethod
    def _reset_when_used(connection: socket.socket) -> None:
        with suppress(OSError):  # the test is over
            connection.recv(65_536)  # the next request, which gets no byte
            reset(connection)

    def close_connections(self) -> None:
        for connection in self.connections:
            if self.how == "RST":
                reset(connection)
            elif self.how != "silence":
                connection.close()

    def stop(self) -> None:
        self._listening.close()
        for connection in self.connections:
            connection.close()


LATER = http_client.KEEP_ALIVE + 1  # seconds; a server that falls silent before that is one that hangs


@pytest.mark.parametrize(
    ("how", "seconds"),
    [("silence", LATER), *itertools.product(("FIN", "RST", "RST when used"), (0, LATER))],
)
def test_a_kept_connection_that_is_gone_costs_nothing(
    environment: pytest.MonkeyPatch, how: str, seconds: float
) -> None:
    fickle = FickleServer(how)
    environment.setenv("CATALOG_URL", fickle.url)
    assert client.fetch_product("7") is not None
    fickle.close_connections()
    environment.setattr(http_client, "_used_at", http_client._used_at - seconds)
    assert client.fetch_product("7") is not None  # not after a timeout: that would be a failure
    assert len(fickle.connections) == 2
    fickle.stop()


@pytest.mark.usefixtures("catalog")
def test_a_connection_is_kept_for_a_moment() -> None:
    for number in (1, 2, 3):
        client.fetch_product(str(number))
    pools = http_client._pool().pools
    assert pools[next(iter(pools.keys()))].num_connections == 1


def test_the_age_of_a_cached_answer_counts(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Answer.raw(b"[" + ONE + b"]", headers={"Age": "60"}))
    before = client.now_version()
    with closing(whole_list.fetch_all(at_most=BYTES)) as listed:
        assert before - 60_000 <= listed.version <= client.now_version() - 60_000


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            Answer.redirect("https://new.test/products?key=1", 301),
            "and Location https://new.test/products: set",
        ),
        (Answer.json({"products": []}), "its list is an object, not an array: see CATALOG_MAPPING"),
        (Answer.raw(b"\xef\xbb\xbf <html>"), "its list is no JSON array"),
        (Answer.status(500), "/products: it answered with status 500"),
    ],
)
def test_the_reason_says_what_to_change(
    catalog: HostileCatalog, caplog: pytest.LogCaptureFixture, answer: Answer, reason: str
) -> None:
    catalog.answer("/products", answer)
    with pytest.raises(CatalogUnavailable):
        whole_list.fetch_all(at_most=BYTES)
    assert reason in caplog.records[-1].__dict__["reason"]
    assert "key=1" not in caplog.text


ODD_ITEMS = {
    "an integer of 5,000 digits": ONE.replace(b'"count": 120', b'"count": ' + b"9" * 5_000).replace(
        b"7", b"9"
    ),
    "a price without end": ONE.replace(b"22.30", b"1e9999999999999999999"),
    "100,000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "100,000 brackets in a product": ONE[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "half a surrogate in the id": ONE.replace(b'"id": 7', b'"id": "\\ud800"'),
    "no object": b'"a \\" string with ] and }"',
}


@pytest.mark.parametrize("what", ODD_ITEMS)
def test_an_odd_item_alone_is_left_out(catalog: HostileCatalog, what: str) -> None:
    good = [simplejson.dumps(product(number), use_decimal=True).encode() for number in (1, 2)]
    catalog.answer("/products", Answer.raw(b"[" + b",".join([good[0], ODD_ITEMS[what], good[1]]) + b"]"))
    with closing(whole_list.fetch_all(at_most=BYTES)) as listed:
        first, *_, last = listed.ids
        assert (first, last) == ("1", "2")
        assert listed.is_whole


def test_a_compressed_list_is_bounded_by_what_it_unpacks_to(catalog: HostileCatalog) -> None:
    body = gzip.compress(b"[" + b" " * 1_000_000 + ONE + b"]")
    catalog.answer("/products", Answer.raw(body, headers={"Content-Encoding": "gzip"}))
    with closing(whole_list.fetch_all(at_most=BYTES)) as listed:
        assert list(listed.ids) == ["7"]
    with pytest.raises(availability.AnswerTooLong):
        whole_list.fetch_all(at_most=500_000)


def test_headers_of_the_setting_are_sent(catalog: HostileCatalog, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CATALOG_AUTHORIZATION", "Bearer key")
    environment.setenv("CATALOG_HEADERS", '{"X-Shop": "1"}')
    seen: dict[str, str] = {}

    def play(handler: CatalogHandler) -> None:
        seen.update(handler.headers)
        Answer.raw(ONE).play(handler)

    catalog.answer("/products/7", Answer(play))
    assert client.fetch_product("7") is not None
    assert (seen["Authorization"], seen["X-Shop"]) == ("Bearer key", "1")


# ── When it is left alone ─────────────────────────────────────────────────────────────────────────────────


def test_a_pause_that_the_catalog_asks_for_is_kept_by_polls_too(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Answer.status(429, {"Retry-After": "120"}))
    with pytest.raises(CatalogUnavailable) as refusal:
        whole_list.fetch_all(at_most=BYTES, heed_breaker=False)
    assert refusal.value.retry_after == 120
    catalog.answer("/products", Answer.raw(b"[]"))
    for ask in (
        lambda: whole_list.fetch_all(at_most=BYTES, heed_breaker=False),
        lambda: client.fetch_product("7"),
    ):
        with pytest.raises(CatalogUnavailable) as refusal:
            ask()
        assert 119 <= (refusal.value.retry_after or 0) <= 121
    assert catalog.calls == {"/products": 1}


class Clock:
    """A clock that goes on when it is told to."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that the breaker sees."""
    clock = Clock()
    monkeypatch.setattr(availability, "time", clock)
    return clock


def test_the_breaker_opens_after_five_failures_in_a_row(clock: Clock) -> None:
    breaker = CircuitBreaker()
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    breaker.check()
    breaker.failed()
    clock.now += 0.2
    with pytest.raises(availability.BreakerOpen) as refusal:
        breaker.check()
    assert refusal.value.retry_after == 3
    breaker.check(heed_failures=False)  # a poll tries all the same
    clock.now += availability.OPEN_SECONDS
    breaker.check()
    breaker.failed()  # one more is enough then
    with pytest.raises(availability.BreakerOpen):
        breaker.check()
    clock.now += availability.OPEN_SECONDS
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    breaker.check()  # closed again: four failures are forgiven


def test_a_pause_is_ten_minutes_at_most(clock: Clock) -> None:
    breaker = CircuitBreaker()
    breaker.throttled(86_400)
    clock.now += availability.MAX_RETRY_AFTER - 1
    with pytest.raises(availability.BreakerOpen):
        breaker.check(heed_failures=False)
    clock.now += 2
    breaker.check()

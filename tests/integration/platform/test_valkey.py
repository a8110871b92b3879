"""An end to every command to Valkey, whatever the server does."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from local.servers.valkey import Valkey
from shared.platform import deadlines
from shared.platform import valkey as cache
from shared.platform.valkey import CacheDown
from tests.integration.hindered import HinderedServer

CacheThat = Callable[[Callable[[socket.socket], None]], None]

NOISE = 0.15  # seconds that a busy machine may add


@pytest.fixture
def hindered(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[HinderedServer]:
    """Valkey behind a proxy that can hinder it, as the environment's cache."""
    cache.close()
    with HinderedServer(valkey.url) as proxy:
        monkeypatch.setenv("REDIS_URL", proxy.url)
        yield proxy
        cache.close()


@pytest.fixture
def cache_that(monkeypatch: pytest.MonkeyPatch) -> Iterator[CacheThat]:
    """Lets a function answer, in a thread, those who connect to a socket: the environment's cache."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{listener.getsockname()[1]}")
        cache.close()
        yield lambda answer: threading.Thread(target=answer, args=[listener], daemon=True).start()
        cache.close()


PING = ("PING",)


# ── A server that went away ───────────────────────────────────────────────────────────────────────────────


def test_a_server_that_restarted_meanwhile_is_asked_on_a_new_connection(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", valkey.url)
    cache.close()
    cache.pipeline(PING)
    valkey.stop()
    valkey.start()
    cache.pipeline(PING)
    cache.close()


def test_a_connection_that_the_server_forgot_is_opened_again_and_the_command_is_counted(
    cache_that: CacheThat,
) -> None:
    """Of a server that is gone without a word, the kernel learns when it sends something."""

    def forget_the_first(listener: socket.socket) -> None:
        first, _ = listener.accept()
        first.recv(100)
        first.sendall(b"+PONG\r\n")
        first.recv(100)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()  # with a reset
        with listener.accept()[0] as second:
            second.recv(100)
            second.sendall(b"+PONG\r\n")

    cache_that(forget_the_first)
    assert cache.pipeline(PING) == [b"PONG"]
    assert cache.pipeline(PING) == [b"PONG"]


@pytest.mark.parametrize(
    "answer", [b"", b"$4\r\nha", b"-LOADING not yet\r\n", b"-ERR max number of clients\r\n"]
)
def test_a_server_that_breaks_off_or_refuses_on_a_new_connection_is_not_asked_twice(
    cache_that: CacheThat, answer: bytes
) -> None:
    asked: list[bytes] = []

    def break_off(listener: socket.socket) -> None:
        while True:
            with listener.accept()[0] as connection:
                asked.append(connection.recv(100))
                connection.sendall(answer)

    cache_that(break_off)
    with pytest.raises(CacheDown):
        cache.pipeline(BIG)
    assert len(asked) == 1


def test_a_connection_that_slept_longer_than_networks_keep_one_is_opened_anew(
    hindered: HinderedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.pipeline(PING)
    cache.pipeline(PING)
    assert hindered.accepted == 1
    monkeypatch.setattr(cache, "_used_at", cache._used_at - deadlines.KEPT_BY_NETWORKS - 1)
    cache.pipeline(PING)
    assert hindered.accepted == 2


# ── A server that hangs ───────────────────────────────────────────────────────────────────────────────────


BIG = ("GET", "big")


@pytest.mark.parametrize("how", ["silent", "trickling"])
@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("commands", [1, 20])
def test_a_command_takes_no_longer_than_its_limit_whatever_the_server_does(
    valkey: Valkey, hindered: HinderedServer, how: str, connected: bool, commands: int
) -> None:
    with Redis.from_url(valkey.url) as direct:
        direct.set("big", b"x" * 1_000)
    if connected:
        cache.pipeline(BIG)
    setattr(hindered, how, True)
    started = time.monotonic()
    with pytest.raises(CacheDown):
        cache.pipeline(*[BIG] * commands)
    assert time.monotonic() - started < cache.TIMEOUT + NOISE
    setattr(hindered, how, False)
    cache._not_before = 0
    assert cache.pipeline(BIG) == [b"x" * 1_000]  # and nothing of the answer that came too late


def test_a_name_that_is_not_found_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    monkeypatch.setenv("REDIS_URL", "redis://cache.test:6379")
    cache.close()
    started = time.monotonic()
    with pytest.raises(CacheDown):
        cache.pipeline(BIG)
    assert time.monotonic() - started < cache.TIMEOUT + NOISE
    cache.close()


def test_a_command_takes_no_longer_than_what_is_left_of_the_request(hindered: HinderedServer) -> None:
    cache.pipeline(BIG)
    hindered.silent = True
    started = time.monotonic()
    with deadlines.within(0.02), pytest.raises(CacheDown):
        cache.pipeline(BIG)
    assert time.monotonic() - started < cache.TIMEOUT


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_request_that_is_out_of_time_says_nothing_of_the_server(
    hindered: HinderedServer, seconds: float
) -> None:
    cache.pipeline(PING)
    hindered.silent = True
    with deadlines.within(seconds), pytest.raises(CacheDown):
        cache.pipeline(PING)
    hindered.silent = False
    cache.pipeline(PING)


def test_commands_are_answered_in_the_order_that_they_were_asked_in(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", valkey.url)
    cache.close()
    cache.pipeline(("SET", "ä", "1\r\n2"), ("HSET", "hash", "field", "value"))
    answers = cache.pipeline(
        ("GET", "ä"), ("HMGET", "hash", "other", "field"), ("GET", "nothing"), ("EXISTS", "hash")
    )
    assert answers == [b"1\r\n2", [None, b"value"], None, 1]
    with pytest.raises(CacheDown):
        cache.pipeline(("HMGET", "ä", "field"), ("GET", "ä"))  # no hash: an error, with an answer behind it
    monkeypatch.setattr(cache, "_not_before", 0)
    assert cache.pipeline(("GET", "ä")) == [b"1\r\n2"]
    cache.close()


def test_an_answer_that_comes_after_an_error_is_nobody_elses(
    cache_that: CacheThat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_late(listener: socket.socket) -> None:
        first, _ = listener.accept()
        first.recv(100)
        first.sendall(b"-ERR no\r\n")
        with first, listener.accept()[0] as second:
            second.recv(100)
            second.sendall(b"$4\r\nmine\r\n")

    cache_that(answer_late)
    with pytest.raises(CacheDown):
        cache.pipeline(BIG, BIG)
    monkeypatch.setattr(cache, "_not_before", 0)
    assert cache.pipeline(BIG) == [b"mine"]


def test_a_server_that_does_not_speak_the_protocol_is_down(cache_that: CacheThat) -> None:
    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    cache_that(answer)
    with pytest.raises(CacheDown):
        cache.pipeline(BIG)

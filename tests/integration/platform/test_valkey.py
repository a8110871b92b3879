"""Every command to Valkey ends in time, whatever the server does."""

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

IN_TIME = cache.SLOW_TIMEOUT  # seconds: longer than TIMEOUT, and shorter than anything without a deadline


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


def test_connection_that_the_server_reset_is_opened_again_and_the_command_repeated(
    cache_that: CacheThat,
) -> None:
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
    "answer",
    [
        b"",
        b"$4\r\nha",
        b"-LOADING not yet\r\n",
        b"-ERR max number of clients\r\n",
        b"HTTP/1.1 400 Bad\r\n\r\n",
    ],
)
def test_command_that_fails_on_a_new_connection_is_not_repeated(cache_that: CacheThat, answer: bytes) -> None:
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


def test_connection_that_slept_longer_than_networks_keep_one_is_opened_anew(
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
def test_command_ends_in_time_on_a_server_that_hangs(
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
    assert time.monotonic() - started < IN_TIME
    setattr(hindered, how, False)
    cache._not_before = 0
    assert cache.pipeline(BIG) == [b"x" * 1_000]  # and nothing of the answer that came too late


def test_name_that_is_not_found_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    monkeypatch.setenv("REDIS_URL", "redis://cache.test:6379")
    cache.close()
    started = time.monotonic()
    with pytest.raises(CacheDown):
        cache.pipeline(BIG)
    assert time.monotonic() - started < IN_TIME
    cache.close()


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_request_that_is_out_of_time_ends_the_command_and_tells_nothing_of_the_server(
    hindered: HinderedServer, seconds: float
) -> None:
    cache.pipeline(PING)
    hindered.silent = True
    started = time.monotonic()
    with deadlines.within(seconds), pytest.raises(CacheDown):
        cache.pipeline(PING, seconds=30)
    assert time.monotonic() - started < 5
    hindered.silent = False
    cache.pipeline(PING)


def test_replies_are_in_the_order_of_their_commands_and_a_restart_is_not_noticed(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", valkey.url)
    cache.close()
    cache.pipeline(PING)
    valkey.stop()
    valkey.start()
    cache.pipeline(("SET", "ä", "1\r\n2"), ("HSET", "hash", "field", "value"))
    replies = cache.pipeline(
        ("GET", "ä"), ("HMGET", "hash", "other", "field"), ("GET", "nothing"), ("EXISTS", "hash")
    )
    assert replies == [b"1\r\n2", [None, b"value"], None, 1]
    with pytest.raises(CacheDown):
        cache.pipeline(("HMGET", "ä", "field"), ("GET", "ä"))  # no hash: an error, with a reply behind it
    monkeypatch.setattr(cache, "_not_before", 0)
    assert cache.pipeline(("GET", "ä")) == [b"1\r\n2"]
    cache.close()


def test_reply_that_comes_after_an_error_is_not_taken_for_the_next_one(
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

"""The client of Valkey: what the server answers, and an end to every command, whatever the server does."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from local.servers.valkey import Valkey
from shared.platform import deadlines
from shared.platform import valkey as cache
from shared.platform.valkey import CacheDown, Refused, Server
from tests.integration.hindered import HinderedServer

NOISE = 0.15  # seconds that a busy machine may add


@pytest.fixture
def server(valkey: Valkey) -> Iterator[Server]:
    client = Server(valkey.url)
    yield client
    client.close()


@pytest.fixture
def hindered(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[HinderedServer]:
    """Valkey behind a proxy that can hinder it, as the environment's cache."""
    cache.close()
    with HinderedServer(valkey.url) as proxy:
        monkeypatch.setenv("REDIS_URL", proxy.url)
        yield proxy
        cache.close()


# ── What the server answers ───────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_answer_is_understood(server: Server) -> None:
    assert server.get("k") is None
    assert server.set("k", "véloce", ex=60) == b"OK"
    assert server.get("k") == "véloce".encode()
    assert server.set("k", b"other", nx=True) is None
    assert server.set("k", b"other", nx=True, get=True, px=5_000) == "véloce".encode()
    assert server.exists("k")
    assert server.hset("h", "a", 1.5) == 1
    assert server.hmget("h", ["a", "b"]) == [b"1.5", None]
    assert server.eval("return {1, {KEYS[1], false}, ARGV[1]}", 1, "k", 7) == [1, [b"k", None], b"7"]
    assert server.delete("k", "h", "other") == 2
    server.ping()


def test_texts_of_any_bytes_and_length_come_back_as_they_were(server: Server) -> None:
    for value in (b"", b"\r\n", b"$-1\r\n", os.urandom(3_000_000)):
        server.set("k", value)
        assert server.get("k") == value


def test_commands_that_are_sent_together_are_answered_in_their_order(server: Server) -> None:
    sets = [("SET", f"k{number}", number) for number in range(1_000)]
    assert server.do_all(sets) == [b"OK"] * 1_000
    gets = [("GET", f"k{number}") for number in range(1_000)]
    assert server.do_all(gets) == [str(number).encode() for number in range(1_000)]


def test_an_error_is_raised_and_the_connection_goes_on(server: Server) -> None:
    with pytest.raises(Refused, match="WRONGTYPE"):
        server.do_all([("SET", "k", "text"), ("HGET", "k", "a"), ("SET", "k", "after")])
    assert server.get("k") == b"after"
    assert len(server._idle) == 1


def test_threads_have_a_connection_each(server: Server) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(100):
            server.set(f"k{number}", f"{number}.{turn}")
            if server.get(f"k{number}") != f"{number}.{turn}".encode():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 <= len(server._idle) <= 4


@pytest.mark.parametrize(
    "path", ["redis://{0}", "redis://{0}/", "redis://{0}/0", "redis://{0}/1", "redis://user:p%40ss@{0}/0"]
)
def test_an_address_may_have_a_database_and_a_password(valkey: Valkey, path: str) -> None:
    address = valkey.url.removeprefix("redis://").partition("/")[0]
    admin = Server(valkey.url)
    admin.do("ACL", "SETUSER", "user", "on", ">p@ss", "~*", "+@all")
    try:
        client = Server(path.format(address))
        client.set("k", "here")
        assert client.get("k") == b"here"
        client.close()
    finally:
        admin.do("ACL", "DELUSER", "user")
        admin.close()


# ── A server that went away ───────────────────────────────────────────────────────────────────────────────


def test_a_server_that_restarted_meanwhile_is_asked_on_a_new_connection(
    server: Server, valkey: Valkey
) -> None:
    server.ping()
    valkey.stop()
    valkey.start()
    server.ping()


def test_a_connection_that_slept_longer_than_networks_keep_one_is_opened_anew(
    hindered: HinderedServer,
) -> None:
    client = Server(hindered.url)
    client.ping()
    client._idle[0].used_at -= deadlines.KEPT_BY_NETWORKS + 1
    client.ping()
    assert hindered.accepted == 2
    client.close()


# ── A server that hangs ───────────────────────────────────────────────────────────────────────────────────


def big(client: Server) -> object:
    return client.get("big")


def many(client: Server) -> object:
    return client.do_all([("GET", "big")] * 20)


@pytest.mark.parametrize("how", ["silent", "trickling"])
@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("ask", [big, many])
def test_a_command_takes_no_longer_than_its_limit_whatever_the_server_does(
    valkey: Valkey, hindered: HinderedServer, how: str, connected: bool, ask: Callable[[Server], object]
) -> None:
    direct = Server(valkey.url)
    direct.set("big", b"x" * 1_000)
    direct.close()
    if connected:
        cache.command(big)
    setattr(hindered, how, True)
    started = time.monotonic()
    with pytest.raises(CacheDown):
        cache.command(ask)
    assert time.monotonic() - started < cache.TIMEOUT + NOISE
    setattr(hindered, how, False)
    cache._not_before = 0
    assert cache.command(big) == b"x" * 1_000  # and nothing of the answer that came too late


def test_a_name_that_is_not_found_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    monkeypatch.setenv("REDIS_URL", "redis://cache.test:6379")
    cache.close()
    started = time.monotonic()
    with pytest.raises(CacheDown):
        cache.command(big)
    assert time.monotonic() - started < cache.TIMEOUT + NOISE
    cache.close()


def test_a_command_takes_no_longer_than_what_is_left_of_the_request(hindered: HinderedServer) -> None:
    cache.command(big)
    hindered.silent = True
    started = time.monotonic()
    with deadlines.within(0.02), pytest.raises(CacheDown):
        cache.command(big)
    assert time.monotonic() - started < cache.TIMEOUT


def test_a_server_that_does_not_speak_the_protocol_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{listener.getsockname()[1]}")
        cache.close()
        with pytest.raises(CacheDown):
            cache.command(big)
        cache.close()

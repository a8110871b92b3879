"""The proxy itself, before a server that sends back what it gets: one that does not bite proves nothing."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import NONE, Fault, FaultProxy, Mode


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1024):
            self.request.sendall(data)


class _EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A reset connection is what these tests are about."""


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with _EchoServer(("127.0.0.1", 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with FaultProxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


def connect(proxy: FaultProxy, timeout: float = 0.5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def test_without_a_fault_bytes_pass_both_ways(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"


def test_a_refusing_server_resets_what_is_open_and_takes_nothing_new(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"a")
        client.recv(1)
        proxy.set(Fault(Mode.REFUSE))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.set(NONE)
    connect(proxy).close()


def test_a_silent_server_accepts_and_says_nothing_until_it_is_over(proxy: FaultProxy) -> None:
    with connect(proxy) as old:
        proxy.set(Fault(Mode.SILENT))
        with connect(proxy) as new:
            for client in (old, new):
                client.sendall(b"late")
                with pytest.raises(TimeoutError):
                    client.recv(10)
            proxy.set(NONE)
            assert [client.recv(10) for client in (old, new)] == [b"late", b"late"]


def test_a_vanished_server_does_not_even_answer_a_syn(proxy: FaultProxy) -> None:
    proxy.set(Fault(Mode.VANISHED))
    with pytest.raises(TimeoutError):
        connect(proxy)
    proxy.set(NONE)
    connect(proxy).close()


def test_late_answers_come_whole(proxy: FaultProxy) -> None:
    proxy.set(Fault(Mode.LATE, 0.2))
    with connect(proxy) as client:
        started = time.monotonic()
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        assert time.monotonic() - started >= 0.2


def test_a_trickle_is_one_byte_at_a_time_and_the_rest_when_it_is_over(proxy: FaultProxy) -> None:
    proxy.set(Fault(Mode.TRICKLE, 0.1))
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"h"
        assert client.recv(10) == b"e"
        proxy.set(NONE)
        assert client.recv(10) == b"llo"


@pytest.mark.parametrize(
    ("mode", "first"),
    [(Mode.RESET, b""), (Mode.SWALLOW, b""), (Mode.CUT, b"abc")],  # the half of the answer that comes
)
def test_an_answer_is_reset_before_it_begins_or_in_its_middle(
    proxy: FaultProxy, mode: Mode, first: bytes
) -> None:
    proxy.set(Fault(mode))
    with connect(proxy) as client:
        client.sendall(b"abcdef")
        if first:
            assert client.recv(10) == first
        with pytest.raises(ConnectionResetError):
            client.recv(10)

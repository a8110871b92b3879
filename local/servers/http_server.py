"""A threaded HTTP/1.1 server. When it is stopped, its connections end, as if its process had ended."""

import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.servers.services import ServiceFailed, free_port, reached_at


class HttpServer:
    """Answers requests with `handler`, on `port` or a free one; it stays the same over every stop and start.

    `name` is for the error when it does not start.
    """

    def __init__(
        self,
        handler: Callable[..., BaseHTTPRequestHandler],
        port: int = 0,
        listen: str = "127.0.0.1",
        name: str = "The HTTP server",
    ) -> None:
        self._handler = handler
        self._listen = listen
        self._name = name
        self._server: _Server | None = None
        self.port = port or free_port(listen)

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end."""
        return f"http://{reached_at(self._listen)}:{self.port}"

    def start(self) -> str:
        """Serve from a thread of this process; return the address. Raises ServiceFailed."""
        if self._server is not None:
            return self.url
        try:
            self._server = _Server((self._listen, self.port), self._handler)
        except OSError as error:
            raise ServiceFailed(
                f"{self._name} did not start on port {self.port}: {error.strerror}."
            ) from error
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self.url

    def stop(self) -> None:
        """Stop listening and cut every connection, also those a client keeps for later."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut_connections()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Bursts of tests connect hundreds of clients at once.
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # HTTPServer's own looks up this machine's name in the DNS, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client may go before it has its answer.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

"""A TCP proxy before a server, which can fall silent or let a byte through now and then."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

PAUSE = 0.05  # seconds between two bytes that trickle


class HinderedServer:
    """Passes everything on; `silent` swallows what both sides say, `trickling` answers byte by byte.

    Both hold for connections that are open already.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = url.replace(f":{parts.port}", f":{self.port}")
        self.silent = self.trickling = False
        self.accepted = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)
        self.drop()

    def drop(self) -> None:
        """End what is open."""
        while self._open:
            _end(self._open.pop())

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.accepted += 1
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink, answers in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass, args=(source, sink, answers), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self.silent:
                    continue
                while data and answers and self.trickling:
                    sink.sendall(data[:1])
                    data = data[1:]
                    time.sleep(PAUSE)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)  # close() alone leaves it open for the thread that reads from it
    one.close()

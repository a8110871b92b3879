"""A TCP proxy that goes wrong on demand: what stands between this service and a server of its own."""

import asyncio
import functools
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NoReturn, TypeVar

from local.servers.services import free_port

_CHUNK_BYTES = 65_536
_START_SECONDS = 5
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds: closing sends a RST

Result = TypeVar("Result")


class Mode(Enum):
    """How a connection through the proxy fares. All but PASS also befall the connections that are open."""

    PASS = auto()
    REFUSE = auto()  # nobody listens; what was open is reset
    SILENT = auto()  # connections are accepted, and not a byte passes, in either direction
    VANISHED = auto()  # as if the machine were gone: no SYN is answered, and what was open is silent
    LATE = auto()  # every answer comes `seconds` late
    TRICKLE = auto()  # of every answer, one byte passes each `seconds`
    RESET = auto()  # connections are accepted, and reset by the first byte that is sent
    CUT = auto()  # a request passes whole; of its answer the first half, and then the connection is reset
    SWALLOW = auto()  # a request passes whole; its answer is lost and the connection reset


@dataclass(frozen=True)
class Fault:
    """A mode, its `seconds` where it has them, and which answers are cut off or lost.

    It is a `share` of them, and the first `answers`; None is all.
    """

    mode: Mode
    seconds: float = 0.0
    share: float = 1.0
    answers: int | None = None


NONE = Fault(Mode.PASS)


class FaultProxy:
    """Passes connections on to 127.0.0.1:`target` as its fault says; `port` stays the same.

    To be used between start() and stop(), or in a `with`. It runs on a thread of its own.
    """

    def __init__(self, target: int, port: int | None = None) -> None:
        self.port = port or free_port()
        self.target = target
        self.fault = NONE
        self._answers_left: int | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="fault-proxy")
        self._listener: socket.socket | None = None
        self._open: set[_Connection] = set()
        self._fillers: list[socket.socket] = []

    def __enter__(self) -> "FaultProxy":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen(backlog=128))

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, fault: Fault) -> None:
        """Let connections fare so from now on; returns when it is so."""
        self._call(self._set(fault))

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        future: Future[Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(_START_SECONDS)

    async def _set(self, fault: Fault) -> None:
        before, self.fault = self.fault, fault
        self._answers_left = fault.answers
        deaf = {Mode.REFUSE, Mode.VANISHED}
        if before.mode in deaf or fault.mode in deaf:
            await self._close_listener()
            if fault.mode is Mode.VANISHED:
                await self._listen(backlog=0)
                self._fill_backlog()
            elif fault.mode is not Mode.REFUSE:
                await self._listen(backlog=128)
        if fault.mode in {Mode.REFUSE, Mode.RESET}:
            for connection in list(self._open):
                connection.reset()
        self._changed.set()  # whoever waits looks again
        self._changed = asyncio.Event()

    async def _listen(self, backlog: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.setblocking(False)
        listener.listen(backlog)
        self._listener = listener
        if self.fault.mode is not Mode.VANISHED:
            self._loop.add_reader(listener, self._accept, listener)

    def _fill_backlog(self) -> None:
        """Make the kernel drop every further SYN: it does so when the queue of a listener is full."""
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._fillers.append(filler)

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = listener.accept()
            client.setblocking(False)
            connection = _Connection(self, client)
            self._open.add(connection)
            connection.task = self._loop.create_task(connection.serve())
            connection.task.add_done_callback(functools.partial(self._forget, connection))

    def _forget(self, connection: "_Connection", _: object) -> None:
        connection.close()  # here, as a task may be canceled before it has begun
        self._open.discard(connection)

    async def _end(self) -> None:
        await self._close_listener()
        serving = [connection.task for connection in self._open if connection.task is not None]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def hits_this_one(self) -> bool:
        if random.random() > self.fault.share or self._answers_left == 0:
            return False
        if self._answers_left is not None:
            self._answers_left -= 1
        return True

    async def change(self, seconds: float | None = None) -> None:
        """Wait for the next set(), at most so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)


class _Connection:
    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._loop = asyncio.get_running_loop()
        self.task: asyncio.Task[None] | None = None

    def reset(self) -> None:
        """End it as a firewall would: with a RST to both sides."""
        self._let_closing_reset()
        if self.task is not None:
            self.task.cancel()

    async def serve(self) -> None:
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while self._proxy.fault.mode in {Mode.SILENT, Mode.VANISHED}:
                await self._proxy.change()
            self._server = await self._connect()
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(self._client, self._server, is_answer=False))
                pumps.create_task(self._pump(self._server, self._client, is_answer=True))
        except* (OSError, _Over):
            pass

    def close(self) -> None:
        for end in (self._client, self._server):
            if end is not None:
                end.close()

    async def _connect(self) -> socket.socket:
        server = socket.socket()
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(server, ("127.0.0.1", self._proxy.target))
        except BaseException:
            server.close()
            raise
        return server

    async def _pump(self, source: socket.socket, sink: socket.socket, *, is_answer: bool) -> None:
        while data := await self._loop.sock_recv(source, _CHUNK_BYTES):
            await self._pass_on(data, sink, is_answer=is_answer)
        raise _Over

    async def _pass_on(self, data: bytes, sink: socket.socket, *, is_answer: bool) -> None:
        proxy = self._proxy
        while data:
            mode, seconds = proxy.fault.mode, proxy.fault.seconds
            if mode in {Mode.SILENT, Mode.VANISHED}:
                await proxy.change()
            elif mode is Mode.RESET:
                self._abort()
            elif not is_answer or mode in {Mode.PASS, Mode.REFUSE} or not proxy.hits_this_one():
                await self._loop.sock_sendall(sink, data)
                return
            elif mode is Mode.LATE:
                await proxy.change(seconds)
                await self._loop.sock_sendall(sink, data)
                return
            elif mode is Mode.TRICKLE:
                await self._loop.sock_sendall(sink, data[:1])
                data = data[1:]
                await proxy.change(seconds)
            else:
                if mode is Mode.CUT:
                    await self._loop.sock_sendall(sink, data[: len(data) // 2])
                    await asyncio.sleep(0.01)  # a RST at once would take back what was sent
                self._abort()

    def _abort(self) -> NoReturn:
        self._let_closing_reset()
        raise _Over

    def _let_closing_reset(self) -> None:
        for end in (self._client, self._server):
            if end is not None:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)


class _Over(Exception):
    """One side has ended the connection."""

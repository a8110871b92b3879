"""Starts programs that do not outlive this process, even if it is killed or crashes.

Linux can signal a process whose parent died (PR_SET_PDEATHSIG), but not the children of that process, and
macOS cannot at all. So a bystander does it: a bare interpreter in a session of its own that runs this file
and reads from a pipe. It gets the number of every process group. When the pipe breaks, it signals those that
are left. Only the standard library may be imported here.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self


class Lifeline:
    """Starts programs as process groups. Those left when it is closed, or this process dies, get a signal."""

    def __init__(self, end_signal: signal.Signals = signal.SIGKILL) -> None:
        self._bystander = subprocess.Popen(  # noqa: S603 - a list, no shell
            [sys.executable, "-I", "-S", __file__, str(int(end_signal))],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
        log: BinaryIO | int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start the program as leader of a session and group of its own, so a Ctrl-C does not reach it.

        Its output goes to `log` (a file, or subprocess.PIPE for `stdout`), or to this process's own.
        """
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        self._send(f"+{process.pid}")
        return process

    def end(self, process: subprocess.Popen[bytes], *gentle: signal.Signals, patience: float = 0) -> None:
        """Kill the whole group and reap its leader.

        Before that the leader gets the gentle signals, and `patience` (seconds) after each to end by itself.
        """
        for how in gentle:
            if process.poll() is None:
                process.send_signal(how)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
        _signal(process.pid, signal.SIGKILL)
        # Before the last of the group is gone: afterwards the number may belong to another process.
        self._send(f"-{process.pid}")
        process.wait()

    def close(self) -> None:
        """Let the bystander signal the groups that are left, and end it."""
        self._bystander.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, line: str) -> None:
        pipe = self._bystander.stdin
        if pipe is None or pipe.closed:
            return
        # One write of a short line is atomic between threads. Without a bystander the rest works on.
        with suppress(BrokenPipeError):
            os.write(pipe.fileno(), f"{line}\n".encode())


def _signal(group: int, how: signal.Signals) -> None:
    # macOS raises PermissionError for a group in which only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, how)


def _watch(lines: Iterable[str], end_signal: signal.Signals) -> None:
    groups: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    for group in groups:
        _signal(group, end_signal)


if __name__ == "__main__":
    _watch(sys.stdin, signal.Signals(int(sys.argv[1])))

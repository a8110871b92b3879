"""Ends our process groups when this process dies without doing it: killed, crashed, or its shell closed.

Linux can tell one process that its parent died (PR_SET_PDEATHSIG), macOS cannot, and neither tells the
children of that process. So a bystander does it: a bare interpreter in a session of its own, running this
very file, that holds the reading end of a pipe. It gets the number of every group; when the pipe breaks, for
whatever reason, it kills the groups that are left. It has to live on the standard library alone.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self


class Lifeline:
    """Starts programs as process groups that do not outlive this object, nor this process."""

    def __init__(self) -> None:
        self._bystander = subprocess.Popen(  # noqa: S603 - a list, no shell
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(self, command: Sequence[str], *, env: Mapping[str, str], cwd: str) -> subprocess.Popen[bytes]:
        """Start `command` as the leader of a new session and group; its output is one pipe, `stdout`."""
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        self._tell(f"+{process.pid}")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill every member of the group, also one that hangs, and reap its leader."""
        _kill(process.pid)
        # Before it is reaped: afterwards the number may belong to somebody else.
        self._tell(f"-{process.pid}")
        process.wait()

    def close(self) -> None:
        """Let go: the bystander kills the groups that are left and ends."""
        self._bystander.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, line: str) -> None:
        pipe = self._bystander.stdin
        if pipe is None or pipe.closed:
            return
        # One write of a short line is atomic, whichever thread it comes from. A bystander that was killed
        # is no reason to fail: it is the second line of defense.
        with suppress(BrokenPipeError):
            os.write(pipe.fileno(), f"{line}\n".encode())


def _kill(group: int) -> None:
    # macOS says EPERM for a group in which only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _watch(lines: Iterable[str]) -> None:
    groups: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    for group in groups:
        _kill(group)


if __name__ == "__main__":
    _watch(sys.stdin)

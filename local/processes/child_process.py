"""Start a program that ends when this process does.

That is a wish to the kernel that a process can only make for itself, between fork and exec. Python code there
is unsafe once threads run, so a launcher makes it: this very file, run as a script by a bare interpreter,
which then becomes the program. It has to live on the standard library alone.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypedDict

_PR_SET_PDEATHSIG = 1

# Linux ties "the parent died" to the thread that started the child, so one thread that lives as long as the
# process starts them all: a service restarted from a short-lived thread must not die with it.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-process-starter")


class _Launch(TypedDict):
    command: list[str]
    parent: int
    end_signal: int


def start_child(
    command: Sequence[str],
    *,
    log: BinaryIO | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
    end_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `command`, an absolute path and its arguments, in a session of its own.

    Its output goes to `log`, or to this process's own. It does not see a Ctrl-C at the terminal: whoever
    started it stops it, in order. On Linux it gets `end_signal` when this process dies without doing that.
    """
    launch: _Launch = {
        "command": list(command),
        "parent": os.getpid(),
        "end_signal": end_signal,
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - a list, no shell
            [sys.executable, "-I", "-S", __file__, json.dumps(launch)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )

    return _starter.submit(start).result()


def _become(launch: _Launch) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(launch["end_signal"])) != 0:
            raise OSError(ctypes.get_errno(), "prctl failed")
        if os.getppid() != launch["parent"]:
            sys.exit("The process that wanted this one is gone.")
    os.execv(launch["command"][0], launch["command"])  # noqa: S606 - the point of the launcher


if __name__ == "__main__":
    try:
        _become(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"The program could not be started: {error}")

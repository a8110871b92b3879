"""Start a program that ends when this process does and, from root, may run as another user.

Both are wishes to the kernel that a process can only make for itself, between fork and exec. Python code
there is unsafe once threads run, so the wishes are made by a launcher: this very file, run as a script by a
bare interpreter, which then becomes the program. It has to live on the standard library alone.
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
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 4
_CAP_DAC_OVERRIDE = 1
_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# Linux ties "the parent died" to the thread that started the child, so one thread that lives as long as the
# process starts them all: a service restarted from a short-lived thread must not die with it.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-process-starter")


class _Launch(TypedDict):
    command: list[str]
    parent: int
    end_signal: int
    uid: int | None
    gid: int | None
    enter_all_folders: bool


def start_child(
    command: Sequence[str],
    *,
    log: BinaryIO,
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
    end_signal: signal.Signals = signal.SIGTERM,
    uid: int | None = None,
    gid: int | None = None,
    enter_all_folders: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command`, an absolute path and its arguments, in a session of its own.

    Its output goes to `log`. It does not see a Ctrl-C at the terminal: whoever started it stops it, in
    order. On Linux it gets `end_signal` when this process dies without having done so.

    From root, `uid` and `gid` make it run as that user; `enter_all_folders` leaves it the one power of root
    to read and enter any folder (CAP_DAC_OVERRIDE, Linux only).
    """
    launch: _Launch = {
        "command": list(command),
        "parent": os.getpid(),
        "end_signal": end_signal,
        "uid": uid,
        "gid": gid,
        "enter_all_folders": enter_all_folders,
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
    if launch["uid"] is not None and launch["gid"] is not None:
        try:
            _switch_user(launch["uid"], launch["gid"], enter_all_folders=launch["enter_all_folders"])
        except OSError as error:
            sys.exit(f"Root is not allowed to run it as user {launch['uid']} on this system ({error}).")
    if sys.platform == "linux":
        # After the switch of the user, which clears it.
        _prctl(_PR_SET_PDEATHSIG, launch["end_signal"])
        if os.getppid() != launch["parent"]:
            sys.exit("The process that wanted this one is gone.")
    os.execv(launch["command"][0], launch["command"])  # noqa: S606 - the point of the launcher


def _switch_user(uid: int, gid: int, *, enter_all_folders: bool) -> None:
    if enter_all_folders:
        # Without this bit the kernel takes all powers away with the switch of the user and, later,
        # ignores those left whenever the program asks access(2), as postgres does about its own files.
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)
    if enter_all_folders:
        _keep_only(_CAP_DAC_OVERRIDE)


def _keep_only(capability: int) -> None:
    """Drop every power of root but one, and let that one survive exec (capabilities(7), "ambient")."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    effective = permitted = inheritable = 1 << capability
    data = (ctypes.c_uint32 * 6)(effective, permitted, inheritable, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")


if __name__ == "__main__":
    try:
        _become(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"The program could not be started: {error}")

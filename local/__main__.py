"""Run the service on this machine: `python -m local run`, `python -m local reset`."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from local.services import ServiceFailed
from local.stack import ROOT, Stack, drop, settings_from

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    arguments = _parser().parse_args()
    try:
        match arguments.command:
            case "run":
                _run(arguments.port)
            case "reset":
                drop(_data())
    except ServiceFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything and serve until Ctrl-C")
    run.add_argument("--port", type=int, default=3000)
    commands.add_parser("reset", help="drop the data")
    return parser


def _run(port: int) -> None:
    for number in _STOP_SIGNALS:
        # A shell makes its background jobs ignore Ctrl-C, which is no wish of the user's; nohup is one.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    stack = Stack(
        data=_data(), port=port, settings=settings_from(os.environ), concurrency=_concurrency(), log=_print
    )
    try:
        stack.start()
        _print(_welcome(stack))
        while True:
            signal.pause()
    except KeyboardInterrupt:
        _print("Stopping…")
    finally:
        stack.stop()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    # One is enough: an impatient second one must not leave half of it running.
    for other in _STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _print(line: str) -> None:
    # In one piece, as several threads log; print() writes the end of the line apart.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _welcome(stack: Stack) -> str:
    register = '{"name": "Ana", "email": "ana@example.com", "password": "correct horse battery"}'
    login = '{"email": "ana@example.com", "password": "correct horse battery"}'
    post = "curl -X POST -H 'Content-Type: application/json'"
    return f"""
Documentation  {stack.url}/docs
Admin          {stack.admin_email}  password: {stack.admin_password}

Try:
  curl '{stack.url}/products?limit=3'
  {post} -d '{register}' {stack.url}/clients
  {post} -d '{login}' {stack.url}/auth/login

Ready: {stack.url}"""


def _data() -> Path:
    return Path(os.environ.get("LOCAL_DATA") or ROOT / ".local")


def _concurrency() -> int:
    value = os.environ.get("LOCAL_CONCURRENCY") or "4"
    if not value.isdecimal() or int(value) == 0:
        raise ServiceFailed(f"LOCAL_CONCURRENCY must be a whole number from 1 on, not {value!r}.")
    return int(value)


if __name__ == "__main__":
    sys.exit(main())

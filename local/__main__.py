"""Run the service on this machine: `python -m local run`, `python -m local reset`."""

import argparse
import os
import signal
import sys
from functools import partial
from pathlib import Path

from local.services import ServiceFailed
from local.stack import ROOT, Stack, drop, settings_from


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
    # Also where the shell that started us ignores Ctrl-C for its background jobs.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    stack = Stack(
        data=_data(),
        port=port,
        settings=settings_from(os.environ),
        concurrency=_concurrency(),
        log=partial(print, flush=True),
    )
    try:
        stack.start()
        print(_welcome(stack), flush=True)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        print("Stopping…", flush=True)
    finally:
        # One Ctrl-C is enough: an impatient second one must not leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stack.stop()


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

"""Run the service on this machine, and use it from a second console."""

import signal

if __name__ == "__main__":
    # Until _serve() handles it, a Ctrl-C just ends this process: without a traceback from the imports below,
    # which take half a second.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from local import running
from local.console import log_to, show
from local.seed import seed
from local.servers.services import ServiceFailed

if TYPE_CHECKING:
    from local.sam_local import SamLocal
    from local.stack import Stack

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "run":
                _run(options.port)
            case "sam-local":
                _sam_local(options.port)
            case "reset":
                _reset()
            case "seed":
                seed(_data(), show)
            case "event":
                answer = running.deliver(_data(), options.file, options.function, options.token)
                show(json.dumps(answer, indent=2, ensure_ascii=False))
            case "events":
                _events(options)
            case "catalog" if options.change == "check":
                _check_catalog()
            case "catalog":
                change = _change(options)
                show(running.change_product(_data(), options.product_id, change, push=options.push))
    except ServiceFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything and serve until Ctrl-C")
    sam_local = commands.add_parser("sam-local", help="the same from `sam build`, in SAM CLI's containers")
    for command in (run, sam_local):
        command.add_argument("--port", default="3000", help="default: 3000")
    commands.add_parser("reset", help="drop the data")
    commands.add_parser("seed", help="make three clients with favorites, and change prices")
    event = commands.add_parser("event", help="give a function an event and print its answer")
    event.add_argument("file", type=Path, help="the event, as in events/")
    event.add_argument("--function", help="default: the one that the file is named after")
    event.add_argument("--token", help="an access token in place of the sample's placeholder")
    events = commands.add_parser("events", help="show the events that went out, each as one line of JSON")
    events.add_argument("type", nargs="?", help="of one type only, such as FavoriteAdded")
    events.add_argument("--follow", action="store_true", help="go on with those that come, until Ctrl-C")
    catalog = commands.add_parser("catalog", help="check your catalog, or change the sample")
    changes = catalog.add_subparsers(dest="change", required=True)
    changes.add_parser("check", help="read the catalog of CATALOG_URL once, and show what comes of it")
    for name, does in (
        ("price", "let a product cost something else"),
        ("remove", "take a product out of the catalog"),
        ("restore", "put a removed product back"),
    ):
        change = changes.add_parser(name, help=does)
        change.add_argument("product_id")
        if name == "price":
            change.add_argument("price", help="such as 9.90")
        change.add_argument("--no-push", dest="push", action="store_false", help="leave it to the next poll")
    return parser


def _events(options: argparse.Namespace) -> None:
    from local.aws.outgoing import read_events  # imports SAM CLI, like the others

    with suppress(KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        shown = False
        for event in read_events(_data(), options.type, follow=options.follow):
            show(event)
            shown = True
        if not shown:
            print("No such event has gone out yet; they go out every half minute.", file=sys.stderr)


def _change(options: argparse.Namespace) -> str:
    if options.change == "price":
        return f'{{"price": {running.price(options.price)}}}'
    return json.dumps({"removed": options.change == "remove"})


def _check_catalog() -> None:
    from local.catalog_check import check  # imports pydantic

    check(show)


def _reset() -> None:
    from local.stack import drop  # imports SAM CLI, which takes a second

    was_there = drop(_data())
    what = "databases, secrets, events and logs"
    show(f"Removed {_data()}: {what}." if was_there else f"There is nothing to remove in {_data()}.")


def _run(port: str) -> None:
    from local import settings
    from local.aws.outgoing import checked_url
    from local.stack import Stack

    stack = Stack(
        data=_data(),
        port=settings.port(port),
        settings=settings.settings_from(os.environ),
        concurrency=settings.whole_number(os.environ, "LOCAL_CONCURRENCY", 4),
        schedule_seconds=settings.whole_number(os.environ, "LOCAL_SCHEDULE_SECONDS", 30),
        visibility_seconds=settings.whole_number(os.environ, "LOCAL_VISIBILITY_SECONDS", 2),
        events_url=checked_url(os.environ.get("EVENTS_URL")),
        log=log_to(_data() / "metrics.jsonl", os.environ),
    )
    _serve(
        stack,
        lambda: [
            f"Shop           {stack.url}/shop  (a page to see it work)",
            f"Events         {stack.aws_url}  (EventBridge's PutEvents and Lambda's Invoke)",
        ],
    )


def _sam_local(port: str) -> None:
    from local import settings
    from local.sam_local import SamLocal

    stack = SamLocal(
        data=_data(),
        port=settings.port(port),
        settings=settings.settings_from(os.environ),
        log=log_to(_data() / "metrics.jsonl", os.environ),
    )
    _serve(
        stack,
        lambda: [
            "",
            "Schedules and events do not run here; one run of a schedule, in another console:",
            f"  {stack.invoke_command('WarmProductCacheFunction')}",
        ],
    )


def _serve(stack: "Stack | SamLocal", more: Callable[[], list[str]]) -> None:
    """Run it until a signal comes; `more` makes further lines for the console, once it runs."""
    try:
        for number in _STOP_SIGNALS:
            # Shells let background jobs ignore Ctrl-C; those of nohup shall ignore SIGHUP.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _interrupt)
        stack.start()
        show(_welcome(stack, more()))
        stack.wait()
    except KeyboardInterrupt:
        show("Stopping…")
    finally:
        stack.stop()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    # Ignore further signals: an impatient second one must not leave half of it running.
    for other in _STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _welcome(stack: "Stack | SamLocal", more: list[str]) -> str:
    register = '{"name": "Ana", "email": "ana@example.com", "password": "correct horse battery"}'
    login = '{"email": "ana@example.com", "password": "correct horse battery"}'
    post = "curl -X POST -H 'Content-Type: application/json'"
    password = (
        f"password: {stack.admin_password}" if stack.admin_password else "with a password not known here"
    )
    return "\n".join(
        [
            "",
            f"Documentation  {stack.url}/docs",
            f"Admin          {stack.settings['ADMIN_EMAIL']}  {password}",
            *(f"{name:<15}{url}" for name, url in stack.backing.started.items()),
            *more,
            "",
            "Try:",
            f"  curl '{stack.url}/products?limit=3'",
            f"  {post} -d '{register}' {stack.url}/clients",
            f"  {post} -d '{login}' {stack.url}/auth/login",
            "",
            f"Ready: {stack.url}",
        ]
    )


def _data() -> Path:
    return Path(os.environ.get("LOCAL_DATA") or Path(__file__).parent.parent / ".local")


if __name__ == "__main__":
    sys.exit(main())

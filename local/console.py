"""The console's output: the functions' lines shortened, their metrics in a file."""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from local.servers.services import Log, ServiceFailed

# Messages that repeat the line of the schedule.
_SHOWN_BY_SCHEDULES = {"catalog polled", "outbox relayed"}
# Keys of the functions' JSON log that the console leaves out.
_LEFT_OUT = {"level", "location", "message", "timestamp", "service", "exception", "exception_name"}


def show(line: str) -> None:
    """Print the line with its end in one piece, for several threads.

    Errors are ignored: a closed console or a full disk must not stop the service.
    """
    with suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def log_to(metrics: Path, environment: Mapping[str, str]) -> Log:
    """Return a log that shows lines with the time of day, and appends metrics to the file if it can.

    The functions' lines are shortened, but with LOCAL_LOGS=json in the environment shown as they are.
    Raises ServiceFailed for any other value.
    """
    how = environment.get("LOCAL_LOGS") or "short"
    if how not in ("short", "json"):
        raise ServiceFailed(f"LOCAL_LOGS must be short or json, not {how!r}.")

    is_written = True

    def keep(text: str) -> None:
        nonlocal is_written
        try:
            with metrics.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        except OSError as error:
            if is_written:
                show(f"Metrics cannot be written and are lost: {error}")
            is_written = False
        else:
            is_written = True

    def log(line: str) -> None:
        _, _, text = line.partition(" | ")
        if text.startswith('{"_aws": '):
            keep(text)
        elif how == "json":
            show(line)
        elif (short := shortened(line)) is not None:
            show(f"{datetime.now().astimezone():%H:%M:%S} {short}")

    return log


def shortened(line: str) -> str | None:
    """Return `name | migrated: applied=3` for `name | {"message": "migrated", "applied": 3, …}`.

    A level other than INFO comes before it, a traceback below. Other lines stay as they are. None for a line
    that repeats another one.
    """
    name, _, text = line.partition(" | ")
    try:
        record = json.loads(text) if text.startswith("{") else None
    except ValueError:
        record = None
    if not isinstance(record, dict) or "level" not in record or "message" not in record:
        return line
    if record["message"] in _SHOWN_BY_SCHEDULES:
        return None
    level = "" if record["level"] == "INFO" else f"{record['level']} "
    facts = ", ".join(f"{key}={_plain(value)}" for key, value in record.items() if key not in _LEFT_OUT)
    traceback = "".join(f"\n    {part}" for part in str(record.get("exception") or "").splitlines())
    return f"{name} | {level}{_plain(record['message'])}{f': {facts}' if facts else ''}{traceback}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

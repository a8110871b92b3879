"""The consumers of this service's own events on this machine: a file, and an address."""

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.aws.event_queue import EventQueue
from local.aws.execution_environment import FunctionFailed
from local.aws.template import Queue
from local.servers.services import Log, ServiceFailed

FILE = "events.jsonl"

_POST_SECONDS = 5
_LOOK_SECONDS = 0.2


class EventFile:
    """Appends each event to `events.jsonl` in the folder of the data, as one line."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._lock = threading.Lock()

    def __call__(self, event: str) -> None:
        """Append an event."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(f"{event}\n")


class EventPoster:
    """Posts each event to an address: CloudEvents 1.0 in HTTP's binary content mode.

    At least once and in any order, like a queue on AWS. An event is tried five times; an answer other than
    2xx, or none within 5 s, is a failure.
    """

    def __init__(self, url: str, log: Log, visibility: float) -> None:
        self._url = urlsplit(url)
        queue = Queue("EVENTS_URL", url, batch=1, receives=5, reports_failures=False, consumers=2)
        self._queue = EventQueue(queue, self._post, log, visibility=visibility)

    def __call__(self, event: str) -> None:
        """Queue an event for posting."""
        self._queue.send(event)

    def stop(self) -> None:
        """Stop posting."""
        self._queue.stop()

    def _post(self, url: str, batch: Mapping[str, Any]) -> None:
        body: str = batch["Records"][0]["body"]
        headers, detail = cloud_event(body)
        is_tls = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=_POST_SECONDS)
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        try:
            connection.request("POST", path, detail.encode(), headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise FunctionFailed(type(error).__name__, str(error)) from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise FunctionFailed("Status", f"{url} answered {status}")


def cloud_event(event: str) -> tuple[dict[str, str], str]:
    """The headers and the body of an event (CloudEvents 1.0.2, HTTP protocol binding, 3.1).

    `ce-id` is the `event_id` of the detail, which is the same in every delivery.
    """
    envelope = json.loads(event)
    detail = event.partition(', "detail": ')[2].removesuffix("}")  # as it came: 9.90 stays 9.90
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": str(envelope["detail"].get("event_id", envelope["id"])),
        "ce-type": envelope["detail-type"],
        "ce-source": envelope["source"],
        "ce-time": envelope["time"],
    }
    return headers, detail


def checked_url(url: str | None) -> str | None:
    """The EVENTS_URL, or None. Raises ServiceFailed when it is not an address."""
    if url and not re.fullmatch(r"https?://[^\s/?#]+[^\s]*", url):
        raise ServiceFailed(f"EVENTS_URL must be an address like http://127.0.0.1:8095, not {url!r}.")
    return url or None


def read_events(data: Path, detail_type: str | None, *, follow: bool) -> Iterator[str]:
    """Yield the events of the file, of one type or of all; with `follow` also new ones, without end."""
    path = data / FILE
    while not path.exists():
        if not follow:
            return
        time.sleep(_LOOK_SECONDS)
    with path.open(encoding="utf-8") as file:
        rest = ""
        while True:
            rest += file.readline()
            if rest.endswith("\n"):
                line, rest = rest.rstrip("\n"), ""
                if detail_type is None or json.loads(line)["detail-type"] == detail_type:
                    yield line
            elif follow:
                time.sleep(_LOOK_SECONDS)
            else:
                return

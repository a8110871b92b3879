"""The two AWS APIs that this machine answers: Lambda's Invoke and EventBridge's PutEvents.

aws lambda invoke --endpoint-url http://127.0.0.1:… --function-name GetHealthFunction answer.json
aws events put-events --endpoint-url http://127.0.0.1:… --entries …
"""

import json
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from local.aws.event_bus import EventBus
from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions
from local.servers.http_server import HttpServer

_INVOCATIONS = re.compile(r"/2015-03-31/functions/([^/?]+)/invocations(?:\?.*)?")
_PUT_EVENTS = "AWSEvents.PutEvents"
_LARGEST_BODY_BYTES = 6 * 1024 * 1024
_ENTRIES = range(1, 11)


class AwsEndpoint:
    """Listens on 127.0.0.1, at `url`, from start() to stop(). The functions are started with the address."""

    def __init__(self) -> None:
        self._server = HttpServer(self._handler, name="The endpoint of Lambda and EventBridge")
        self.url = self._server.url

    def start(self, functions: Functions, bus: EventBus) -> None:
        """Listen. Raises ServiceFailed."""
        self._served = functions, bus
        self._server.start()

    def stop(self) -> None:
        """Stop listening and cut all connections."""
        self._server.stop()

    def _handler(self, *arguments: Any) -> BaseHTTPRequestHandler:
        return _Handler(*self._served, *arguments)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def __init__(self, functions: Functions, bus: EventBus, *arguments: Any) -> None:
        self._functions = functions
        self._bus = bus
        super().__init__(*arguments)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_BODY_BYTES:
            self.close_connection = True
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestTooLargeException", "Send up to 6 MB.")
            return
        body = self.rfile.read(int(length))
        invocation = _INVOCATIONS.fullmatch(self.path)
        if "Origin" in self.headers:
            # Protects from web pages in the developer's browser: anything may be invoked here.
            self._refuse(HTTPStatus.FORBIDDEN, "AccessDeniedException", "This is not for browsers.")
        elif invocation:
            self._invoke(unquote(invocation[1]), body)
        elif self.headers.get("X-Amz-Target") == _PUT_EVENTS:
            self._put_events(body)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "UnknownOperationException", "Only Invoke and PutEvents.")

    def _invoke(self, name: str, body: bytes) -> None:
        name = unquote(name).rpartition(":function:")[2].partition(":")[0]  # of the ARN, without the alias
        if not self._functions.knows(name):
            message = f"There is no function {name}."
            self._refuse(HTTPStatus.NOT_FOUND, "ResourceNotFoundException", message, Type="User")
            return
        try:
            json.loads(body or b"{}")
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, "InvalidRequestContentException", f"Not JSON: {error}")
            return
        how = self.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if how == "DryRun":
            self._answer(HTTPStatus.NO_CONTENT, b"")
        elif how == "Event":
            # The result goes to the log only, as on AWS.
            threading.Thread(target=self._result, args=(name, body), daemon=True).start()
            self._answer(HTTPStatus.ACCEPTED, b"")
        else:
            result, headers = self._result(name, body)
            self._answer(HTTPStatus.OK, result, headers)

    def _result(self, name: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        headers = {"X-Amz-Executed-Version": "$LATEST"}
        try:
            return self._functions.invoke_raw(name, body or b"{}"), headers
        except FunctionFailed as error:
            failure = {"errorType": error.error_type, "errorMessage": error.message}
            return json.dumps(failure).encode(), headers | {"X-Amz-Function-Error": "Unhandled"}

    def _put_events(self, body: bytes) -> None:
        try:
            entries = json.loads(body)["Entries"]
            are_events = len(entries) in _ENTRIES and all(isinstance(entry, dict) for entry in entries)
        except (ValueError, TypeError, KeyError):
            are_events = False
        if not are_events:
            self._refuse(HTTPStatus.BAD_REQUEST, "ValidationException", "Entries has to have 1 to 10 events.")
            return
        results = [self._put(entry) for entry in entries]
        failed = sum("ErrorCode" in result for result in results)
        self._answer(HTTPStatus.OK, json.dumps({"FailedEntryCount": failed, "Entries": results}).encode())

    def _put(self, entry: dict[str, Any]) -> dict[str, str]:
        for name in ("Source", "DetailType", "Detail"):
            if not isinstance(entry.get(name), str):
                return {"ErrorCode": "InvalidArgument", "ErrorMessage": f"{name} is missing."}
        try:
            time = entry.get("Time")  # boto3 sends seconds since the epoch, AWS's command line a text
            moment = datetime.fromtimestamp(time, UTC) if isinstance(time, int | float) else None
            return {"EventId": self._bus.put(entry["Source"], entry["DetailType"], entry["Detail"], moment)}
        except ValueError as error:
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": f"Detail is malformed: {error}."}

    def _refuse(self, status: HTTPStatus, kind: str, message: str, **more: str) -> None:
        body = json.dumps({"__type": kind, "Message": message, **more}).encode()
        self._answer(status, body, {"X-Amzn-ErrorType": kind})

    def _answer(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        content_type = "application/x-amz-json-1.1" if "X-Amz-Target" in self.headers else "application/json"
        self.send_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by http.server
        """Keep silent: the bus shows events, functions show themselves."""

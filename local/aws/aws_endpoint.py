"""The two AWS APIs that this machine answers: Lambda's Invoke and EventBridge's PutEvents.

aws lambda invoke --endpoint-url http://127.0.0.1:… --function-name GetHealthFunction answer.json
aws events put-events --endpoint-url http://127.0.0.1:… --entries …
"""

import json
import socket
import threading
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from local.aws.event_bus import EventBus
from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions

_LARGEST_BODY_BYTES = 6 * 1024 * 1024
_ENTRIES = range(1, 11)


class AwsEndpoint:
    """Listens on 127.0.0.1 at `url`, with which the functions are started, and answers from start() on."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server: BaseWSGIServer | None = None
        self.url = "http://{}:{}".format(*self._listener.getsockname())

    def start(self, functions: Functions, bus: EventBus) -> None:
        """Answer requests, also those that came before."""
        app = _app(functions, bus)
        file = self._listener.fileno()
        self._server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent, fd=file)
        threading.Thread(target=self._server.serve_forever, daemon=True, name="aws-endpoint").start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._listener.close()


class _Silent(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Log nothing: the bus and the functions have lines of their own."""


def _app(functions: Functions, bus: EventBus) -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY_BYTES

    def no_browsers() -> Response | None:
        # Protects from web pages in the developer's browser: anything may be invoked here.
        if "Origin" in request.headers:
            return _refusal(403, "AccessDeniedException", "This is not for browsers.")
        return None

    def unknown(_: Exception) -> Response:
        return _refusal(404, "UnknownOperationException", "Only Invoke and PutEvents.")

    def too_large(_: Exception) -> Response:
        return _refusal(413, "RequestTooLargeException", "Send up to 6 MB.")

    def call() -> Response:
        body = request.get_data()
        is_known = request.headers.get("X-Amz-Target") == "AWSEvents.PutEvents"
        return _put_events(bus, body) if is_known else unknown(LookupError())

    def invoke(name: str) -> Response:
        folder_or_id = name.rpartition(":function:")[2].partition(":")[0]  # of the ARN, without the alias
        return _invoke(functions, folder_or_id, request.get_data())

    app.before_request(no_browsers)
    app.register_error_handler(404, unknown)
    app.register_error_handler(405, unknown)
    app.register_error_handler(413, too_large)
    app.add_url_rule("/", view_func=call, methods=["POST"])
    app.add_url_rule("/2015-03-31/functions/<name>/invocations", view_func=invoke, methods=["POST"])
    return app


def _invoke(functions: Functions, name: str, body: bytes) -> Response:
    if not functions.knows(name):
        return _refusal(404, "ResourceNotFoundException", f"There is no function {name}.", Type="User")
    try:
        json.loads(body or b"{}")
    except ValueError as error:
        return _refusal(400, "InvalidRequestContentException", f"Not JSON: {error}")
    how = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    if how == "DryRun":
        return Response(status=204)
    if how == "Event":
        # The result goes to the log only, as on AWS.
        threading.Thread(target=_result, args=(functions, name, body), daemon=True).start()
        return Response(status=202)
    return _result(functions, name, body)


def _result(functions: Functions, name: str, body: bytes) -> Response:
    headers = {"X-Amz-Executed-Version": "$LATEST"}
    try:
        result = functions.invoke_raw(name, body or b"{}")
    except FunctionFailed as error:
        result = json.dumps({"errorType": error.error_type, "errorMessage": error.message}).encode()
        headers["X-Amz-Function-Error"] = "Unhandled"
    return Response(result, headers=headers, mimetype="application/json")


def _put_events(bus: EventBus, body: bytes) -> Response:
    try:
        entries = json.loads(body)["Entries"]
        are_events = len(entries) in _ENTRIES and all(isinstance(entry, dict) for entry in entries)
    except (ValueError, TypeError, KeyError):
        are_events = False
    if not are_events:
        return _refusal(400, "ValidationException", "Entries has to have 1 to 10 events.")
    results = [_put(bus, entry) for entry in entries]
    failed = sum("ErrorCode" in result for result in results)
    answer = json.dumps({"FailedEntryCount": failed, "Entries": results})
    return Response(answer, mimetype="application/x-amz-json-1.1")


def _put(bus: EventBus, entry: dict[str, Any]) -> dict[str, str]:
    for name in ("Source", "DetailType", "Detail"):
        if not isinstance(entry.get(name), str):
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": f"{name} is missing."}
    try:
        time = entry.get("Time")  # boto3 sends seconds since the epoch, AWS's command line a text
        moment = datetime.fromtimestamp(time, UTC) if isinstance(time, int | float) else None
        return {"EventId": bus.put(entry["Source"], entry["DetailType"], entry["Detail"], moment)}
    except ValueError as error:
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": f"Detail is malformed: {error}."}


def _refusal(status: int, kind: str, message: str, **more: str) -> Response:
    body = json.dumps({"__type": kind, "Message": message, **more})
    return Response(body, status, {"X-Amzn-ErrorType": kind}, mimetype="application/json")

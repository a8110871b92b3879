"""API Gateway on this machine: SAM CLI's emulation of it, in front of execution environments without Docker.

`sam local start-api` reads the template with its providers (see `local.aws.template`), and its
LocalApigwService turns HTTP requests into events and results into answers. This does the same with another
LocalLambdaRunner.
"""

import json
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

# First: it sets a variable that SAM CLI reads when it is imported.
from local.aws.template import Template  # isort: skip
from flask import Flask, Request, Response, jsonify, send_from_directory
from samcli.lib.providers.provider import Api
from samcli.lib.utils.stream_writer import StreamWriter
from samcli.local.apigw.event_constructor import construct_v2_event_http
from samcli.local.apigw.local_apigw_service import LocalApigwService
from samcli.local.apigw.path_converter import PathConverter
from samcli.local.apigw.route import Route
from samcli.local.lambdafn.exceptions import FunctionNotFound
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from local.aws.cors import add_cors
from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions
from local.servers.services import Log

# Lambda's limit for the event of a synchronous invocation; API Gateway refuses what would exceed it.
_LARGEST_BODY_BYTES = 6 * 1024 * 1024


class _Request(threading.local):
    """The request that this thread answers; `id` is its request_id, if it has one already."""

    id = ""


_request = _Request()


class ApiGateway:
    """Serves the routes of a template, and a folder of files below /shop. Logs a line for every request."""

    def __init__(
        self, template: Template, functions: Functions, log: Log = print, shop: Path | None = None
    ) -> None:
        self._api = template.api
        self._cors = template.cors
        self._functions = functions
        self._log = log
        self._shop = shop
        self._server: BaseWSGIServer | None = None

    def serve(self, listener: socket.socket) -> None:
        """Answer requests on a socket that listens already, in threads."""
        host, port = listener.getsockname()[:2]
        service = _Service(api=self._api, lambda_runner=_Runner(self._functions), host=host, port=port)
        service.create()
        app = _as_http_api(service._app, self._api)
        if self._cors is not None:
            add_cors(app, self._cors)
        if self._shop is not None:
            _add_shop(app, self._shop)
        self._server = make_server(
            host,
            port,
            app,
            threaded=True,
            request_handler=_request_handler(self._log),
            fd=listener.fileno(),
        )
        threading.Thread(target=self._server.serve_forever, daemon=True, name="api-gateway").start()

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Service(LocalApigwService):  # type: ignore[misc] # samcli has no types
    """SAM CLI's service, with two faults of its events repaired."""

    def _generate_lambda_event(
        self, request: Request, route: Route, method: str, endpoint: str
    ) -> dict[str, Any]:
        event: dict[str, Any]
        try:
            event = super()._generate_lambda_event(request, route, method, endpoint)
        except UnicodeDecodeError:
            # A body that is not text: SAM CLI would answer 502, but API Gateway sends it as base 64.
            event = construct_v2_event_http(
                request,
                self.port,
                binary_types=["*/*"],
                stage_name=self.api.stage_name,
                route_key=f"{method} {PathConverter.convert_path_to_api_gateway(endpoint)}",
            )
        # SAM CLI makes these once, so that all requests would have the same.
        now = datetime.now(UTC)
        _request.id = str(uuid.uuid4())
        event["requestContext"] |= {
            "requestId": _request.id,
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        }
        return event


class _Runner:
    """Takes the place of SAM CLI's LocalLambdaRunner: writes results to `stdout` as a container does."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    def is_debugging(self) -> bool:
        return False

    def invoke(self, name: str, event: str, *, stdout: StreamWriter, **_: object) -> None:
        try:
            stdout.write_str(self._functions.invoke_raw(name, event.encode()).decode())
        except KeyError as error:
            raise FunctionNotFound(name) from error
        except FunctionFailed as error:
            # SAM CLI recognizes an error by this form and answers 500.
            stdout.write_str(json.dumps({"errorType": error.error_type, "errorMessage": error.message}))


def _as_http_api(app: Flask, api: Api) -> Flask:
    """Change answers in which SAM CLI follows REST APIs to those of an HTTP API."""

    def not_found(_: Exception) -> tuple[Response, int]:
        return jsonify(message="Not Found"), 404

    def too_large(_: Exception) -> tuple[Response, int]:
        return jsonify(message="Request Entity Too Large"), 413

    app.register_error_handler(404, not_found)
    app.register_error_handler(405, not_found)
    app.register_error_handler(413, too_large)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY_BYTES
    app.url_map.merge_slashes = False
    with_head = {
        PathConverter.convert_path_to_flask(route.path) for route in api.routes if "HEAD" in route.methods
    }
    for rule in app.url_map.iter_rules():
        rule.strict_slashes = True  # a slash at the end makes another path
        if rule.methods and rule.rule not in with_head:
            rule.methods.discard("HEAD")  # which Flask adds to every GET, and API Gateway does not
    return app


def _add_shop(app: Flask, folder: Path) -> None:
    """Serve a folder of files; the browser revalidates them each time."""

    def file(name: str) -> Response:
        return send_from_directory(folder, name)

    app.add_url_rule("/shop", view_func=file, defaults={"name": "index.html"}, endpoint="shop")
    app.add_url_rule("/shop/<name>", view_func=file, endpoint="shop-file")


def _request_handler(log: Log) -> type[WSGIRequestHandler]:
    class RequestHandler(WSGIRequestHandler):
        started: float | None = None

        def run_wsgi(self) -> None:
            self.started = time.perf_counter()
            _request.id = ""
            super().run_wsgi()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
            if self.started is None:  # it is no request: too long, or not HTTP
                log(f"refused, as it is no request: {code}")
                return
            milliseconds = (time.perf_counter() - self.started) * 1000
            failed = _request.id and int(code) >= HTTPStatus.BAD_REQUEST
            request_id = f"  request_id={_request.id}" if failed else ""
            log(f"{self.command} {self.path} {code} {milliseconds:.1f} ms{request_id}")

    return RequestHandler

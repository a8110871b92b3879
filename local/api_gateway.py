"""API Gateway on this machine: SAM CLI's emulation of it, in front of execution environments without Docker.

`sam local start-api` is a command around four classes: the stacks read a template and resolve it, the
function and API providers list what it declares, and LocalApigwService turns HTTP requests into events and
results into answers. They are used here as the command uses them, with another LocalLambdaRunner. This is
the only module that knows SAM CLI's inside; requirements-dev.txt pins the version it was written for.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Read once, when SAM CLI is imported.
os.environ["SAM_CLI_TELEMETRY"] = "0"

from flask import Flask, Request, Response, jsonify
from samcli.commands._utils.template import get_template_data
from samcli.commands.exceptions import UserException
from samcli.commands.validate.lib.exceptions import InvalidSamDocumentException
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.provider import Function
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.lib.utils.stream_writer import StreamWriter
from samcli.local.apigw.event_constructor import construct_v2_event_http
from samcli.local.apigw.local_apigw_service import LocalApigwService
from samcli.local.apigw.path_converter import PathConverter
from samcli.local.apigw.route import Route
from samcli.local.lambdafn.config import FunctionConfig
from samcli.local.lambdafn.env_vars import EnvironmentVariables
from samcli.local.lambdafn.exceptions import FunctionNotFound
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from local.code_watcher import CodeWatcher
from local.execution_environment import (
    ExecutionEnvironment,
    FunctionFailed,
    FunctionSettings,
    Log,
    Pool,
)
from local.lifeline import Lifeline
from local.services import ServiceFailed

# SAM CLI warns about every 204 ("Lambda returned empty body!").
logging.getLogger("samcli").setLevel(logging.ERROR)

# Lambda's limit for the event of a synchronous invocation; API Gateway refuses what would exceed it.
_LARGEST_BODY_BYTES = 6 * 1024 * 1024


def template_parameters(template: Path) -> list[str]:
    """Return the names of the parameters that a template declares.

    Raises ServiceFailed when it cannot be read.
    """
    with _mistakes_in_one_line(template):
        return list(get_template_data(str(template)).get("Parameters", {}))


class ApiGateway:
    """Serves the routes of a template, and invokes any of its functions.

    `parameters` are values for the template's parameters, over their defaults. `concurrency` is the number
    of execution environments a function may have. The functions' logs go to `log`, line by line, with the
    folder of the function in front, and so does a line for every request. Raises ServiceFailed when the
    template is wrong.
    """

    def __init__(
        self, template: Path, parameters: Mapping[str, str], *, concurrency: int = 4, log: Log = print
    ) -> None:
        root = template.resolve().parent
        with _mistakes_in_one_line(template):
            stacks, _ = SamLocalStackProvider.get_stacks(str(template), parameter_overrides=dict(parameters))
            self._api = ApiProvider(stacks, cwd=str(root)).api
        self._log = log
        self._lifeline = Lifeline()
        self._watcher = CodeWatcher()
        self._pools: dict[str, Pool] = {}
        for function in SamFunctionProvider(stacks).get_all():
            pool = _pool(function, root, concurrency, self._lifeline, log)
            self._pools[function.name] = pool
            self._watcher.watch(_code_folders(function, root), pool.refresh)
        self._watcher.start()
        self._server: BaseWSGIServer | None = None

    def serve(self, listener: socket.socket) -> None:
        """Answer requests from now on, in threads of its own, on a socket that listens already."""
        host, port = listener.getsockname()[:2]
        service = _Service(api=self._api, lambda_runner=_Runner(self._pools), host=host, port=port)
        service.create()
        self._server = make_server(
            host,
            port,
            _as_http_api(service._app),  # its run() would block, and own the signals
            threaded=True,
            request_handler=_request_handler(self._log),
            fd=listener.fileno(),
        )
        threading.Thread(target=self._server.serve_forever, daemon=True, name="api-gateway").start()

    def invoke(self, logical_id: str, event: Mapping[str, Any]) -> Any:
        """Return the result of a function, whether or not it has a route.

        Raises FunctionFailed when it raised, crashed or ran out of time, KeyError when there is none of this
        name.
        """
        return json.loads(self._pools[logical_id].invoke(json.dumps(event).encode()))

    def stop(self) -> None:
        """Stop serving and end every execution environment."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._watcher.stop()
        for pool in self._pools.values():
            pool.stop()
        self._lifeline.close()


class _Service(LocalApigwService):  # type: ignore[misc] # samcli has no types
    """SAM CLI's service, with two faults of its events set right."""

    def _generate_lambda_event(
        self, request: Request, route: Route, method: str, endpoint: str
    ) -> dict[str, Any]:
        event: dict[str, Any]
        try:
            event = super()._generate_lambda_event(request, route, method, endpoint)
        except UnicodeDecodeError:
            # A body that is not text: SAM CLI answers 502, API Gateway passes it on in base 64.
            event = construct_v2_event_http(
                request,
                self.port,
                binary_types=["*/*"],
                stage_name=self.api.stage_name,
                route_key=f"{method} {PathConverter.convert_path_to_api_gateway(endpoint)}",
            )
        # SAM CLI makes these once, when it is imported: all requests would have one id.
        now = datetime.now(UTC)
        event["requestContext"] |= {
            "requestId": str(uuid.uuid4()),
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        }
        return event


class _Runner:
    """Stands where SAM CLI's LocalLambdaRunner stood, and writes results to `stdout` as a container would."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    def is_debugging(self) -> bool:
        return False

    def invoke(self, name: str, event: str, *, stdout: StreamWriter, **_: object) -> None:
        try:
            pool = self._pools[name]
        except KeyError as error:
            raise FunctionNotFound(name) from error
        try:
            stdout.write_str(pool.invoke(event.encode()).decode())
        except FunctionFailed as error:
            # In this form SAM CLI sees the error for what it is and answers 500.
            stdout.write_str(json.dumps({"errorType": error.error_type, "errorMessage": error.message}))


def _pool(function: Function, root: Path, concurrency: int, lifeline: Lifeline, log: Log) -> Pool:
    label = Path(function.codeuri or function.name).name

    def log_with_name(line: str) -> None:
        log(f"{label} | {line}")

    settings = _settings(function)
    return Pool(
        lambda: ExecutionEnvironment(settings, root, lifeline, log_with_name), concurrency, log_with_name
    )


def _settings(function: Function) -> FunctionSettings:
    variables = EnvironmentVariables(
        function.name,
        function.memory,
        function.timeout,
        function.handler,
        # No values from the shell, which SAM CLI lets win, and none of its AWS credentials: the template and
        # its parameters are all a function sees.
        variables=(function.environment or {}).get("Variables"),
    )
    # It knows Lambda's defaults for what the template leaves open.
    config = FunctionConfig(
        name=function.name,
        full_path=function.full_path,
        runtime=function.runtime,
        handler=function.handler,
        imageuri=None,
        imageconfig=None,
        packagetype=function.packagetype,
        code_abs_path=None,
        layers=[],
        architecture=None,
        memory=function.memory,
        timeout=function.timeout,
        env_vars=variables,
    )
    return FunctionSettings(
        name=function.name,
        handler=function.handler,
        timeout=config.timeout,
        memory=int(config.memory),
        variables=variables.resolve(),
    )


@contextmanager
def _mistakes_in_one_line(template: Path) -> Iterator[None]:
    try:
        yield
    except (UserException, InvalidSamDocumentException) as error:
        raise ServiceFailed(f"{template.name} cannot be used: {' '.join(str(error).split())}") from error


def _code_folders(function: Function, root: Path) -> list[Path]:
    """Return where the code of a function is: its own folder and those of its layers in the template."""
    return [root / uri for uri in (function.codeuri, *(layer.codeuri for layer in function.layers)) if uri]


def _as_http_api(app: Flask) -> Flask:
    """Make answers that SAM CLI gives as a REST API would those of an HTTP API."""

    def not_found(_: Exception) -> tuple[Response, int]:
        return jsonify(message="Not Found"), 404

    def too_large(_: Exception) -> tuple[Response, int]:
        return jsonify(message="Request Entity Too Large"), 413

    app.register_error_handler(404, not_found)
    app.register_error_handler(405, not_found)
    app.register_error_handler(413, too_large)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY_BYTES
    for rule in app.url_map.iter_rules():
        if rule.methods:
            rule.methods.discard("HEAD")  # which Flask adds to every GET, and API Gateway does not
    return app


def _request_handler(log: Log) -> type[WSGIRequestHandler]:
    class RequestHandler(WSGIRequestHandler):
        def run_wsgi(self) -> None:
            self.started = time.perf_counter()
            super().run_wsgi()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
            milliseconds = (time.perf_counter() - self.started) * 1000
            log(f"{self.command} {self.path} {code} {milliseconds:.1f} ms")

    return RequestHandler

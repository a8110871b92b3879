"""The Lambda handlers of all functions: for HTTP, and for events and schedules.

This module loads neither routing nor validation: the answer to a cached product needs none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from shared.platform import deadlines, lean_imports, logs
from shared.web import headers, request
from shared.web.request import Event, Result

Answer = TypeVar("Answer")
Handler = Callable[[Event, Any], Answer]


def http(answer: Handler[Result]) -> Handler[Result]:
    """The Lambda handler of a function behind API Gateway, whose events `answer` answers.

    Adds the headers of every answer, and removes the body of an answer to HEAD.
    """

    def lambda_handler(event: Event, context: Any) -> Result:
        started = time.perf_counter()
        with deadlines.within(deadlines.REQUEST):
            result = answer(event, context)
        result["headers"] = result["headers"] | headers.ALWAYS
        if request.method(event) == "HEAD":
            headers.remove_body(result)
        # At DEBUG only: API Gateway's access log has the same, without costing time here.
        if logs.debugs():
            logs.logger().debug(
                "request",
                route=event.get("routeKey"),
                status=int(result["statusCode"]),
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                request_id=request.request_id(event),
            )
        return result

    return _ready(lambda_handler)


def background(handle: Handler[Answer], *, spare: float) -> Handler[Answer]:
    """The Lambda handler of a function that events or a schedule invoke.

    Its deadline is `spare` seconds before Lambda's own.
    """

    def lambda_handler(event: Event, context: Any) -> Answer:
        with deadlines.within(deadlines.of_function(context, spare=spare)):
            return handle(event, context)

    return _ready(lambda_handler)


def _ready(handler: Handler[Answer]) -> Handler[Answer]:
    """The handler, once all its imports are done, at the end of the init phase."""
    lean_imports.done()
    return handler

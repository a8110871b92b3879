"""The Lambda handlers of all functions: those of HTTP, and those of events and schedules.

Nothing here loads routing or validation: a cached product is answered without them.
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
    """The handler of a function behind API Gateway, for what answers its events.

    Adds the headers of every answer, and turns the answer to GET into that to HEAD.
    """

    def lambda_handler(event: Event, context: Any) -> Result:
        started = time.perf_counter()
        with deadlines.within(deadlines.REQUEST):
            result = answer(event, context)
        result["headers"] = result["headers"] | headers.ALWAYS
        if request.method(event) == "HEAD":
            headers.remove_body(result)
        # At DEBUG: API Gateway's access log says as much, and costs no time here.
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
    """The handler of a function that events or a schedule invoke.

    Its work has to end `spare` seconds before Lambda would end it.
    """

    def lambda_handler(event: Event, context: Any) -> Answer:
        with deadlines.within(deadlines.of_function(context, spare=spare)):
            return handle(event, context)

    return _ready(lambda_handler)


def _ready(handler: Handler[Answer]) -> Handler[Answer]:
    """The handler, at the end of the init phase: all that it needs is imported."""
    lean_imports.done()
    return handler

"""What the OpenAPI document says of errors: problems of this service, and API Gateway's own errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from shared.errors import DomainError, FavoritesFull, InvalidInput
from shared.favorites.limits import MAX_FAVORITES

Json = dict[str, Any]

PROBLEM = "application/problem+json"

_GATEWAY_ERROR = {"$ref": "#/components/schemas/GatewayError"}
# The messages of an HTTP API: no such route, a body of more than 10 MB, throttling, a function that failed.
_GATEWAY_MESSAGES = {
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_HEADERS = {
    401: ["WWW-Authenticate"],
    415: ["Accept-Patch", "Accept-Encoding"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}


def common(tag: str, *, public: bool, has_body: bool) -> list[str]:
    """The codes of problems that many routes have and none declares."""
    codes = ["invalid-input", "internal-error"]  # of any route: a query parameter that it does not have
    if not public:
        codes += ["missing-credentials", "invalid-token"]
    if has_body:
        codes += ["body-too-large", "unsupported-media-type"]
    if not public or tag in ("clients", "auth"):
        codes += ["database-unavailable", "secret-unavailable"]
    return codes


def problems(codes: list[str]) -> dict[str, Json]:
    """The responses with these problems by status; problems of one status are told apart by their type."""
    responses: dict[str, Json] = {}
    for kind in DomainError.kinds():
        if kind.code not in codes:
            continue
        response = responses.setdefault(str(kind.status), {"description": phrase(kind.status)})
        if kind.status in _HEADERS:
            response["headers"] = headers(_HEADERS[kind.status])
        content = response.setdefault("content", {PROBLEM: {}})[PROBLEM]
        content["schema"] = {"$ref": "#/components/schemas/Problem"}
        content.setdefault("examples", {})[kind.code] = {"$ref": f"#/components/examples/{kind.code}"}
    return responses


def examples() -> Json:
    """An example of each problem, by its code."""
    more: dict[type[DomainError], Json] = {
        FavoritesFull: {"max": MAX_FAVORITES},
        InvalidInput: {
            "errors": [
                {
                    "location": "body.name",
                    "pointer": "/name",
                    "message": "Field required",
                    "type": "missing",
                }
            ]
        },
    }
    return {
        kind.code: {
            "summary": kind.title,
            "value": {
                "type": kind.type_uri(),
                "title": kind.title,
                "status": kind.status,
                "detail": "What exactly was refused, in a sentence.",
                "request_id": "b7c1f0a2-3d53-4c1e-8f4a-5a0f6f2f8f10",
                **more.get(kind, {}),
            },
        }
        for kind in DomainError.kinds()
    }


def add_gateway_errors(responses: Json) -> None:
    """Add API Gateway's own errors to the responses of a route."""
    for status in _GATEWAY_MESSAGES:
        response = responses.setdefault(str(status), {"$ref": f"#/components/responses/Gateway{status}"})
        if "content" in response:  # this service answers with the status too
            # In each media type: openapi-python-client makes its parser from the first one alone.
            for body in response["content"].values():
                body["schema"] = {"anyOf": [body["schema"], _GATEWAY_ERROR]}
            response["content"].setdefault("application/json", {"schema": _GATEWAY_ERROR})


def gateway_responses() -> Json:
    """API Gateway's own errors, for statuses with which no function answers."""
    return {
        f"Gateway{status}": {
            "description": f"{phrase(status)}, from API Gateway.",
            "content": {"application/json": {"schema": _GATEWAY_ERROR, "example": {"message": message}}},
        }
        for status, message in _GATEWAY_MESSAGES.items()
    }


def phrase(status: int) -> str:
    """The status in words (RFC 9110 §15), the same with every version of Python."""
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, HTTPStatus(status).phrase)


def headers(names: list[str]) -> Json:
    """References to the descriptions of these header fields."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}

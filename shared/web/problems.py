"""Errors as problem details (RFC 9457): the only module that turns errors into HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from shared import errors
from shared.errors import DomainError
from shared.formats import json_text
from shared.platform import logs, metrics
from shared.web import request
from shared.web.request import Event, Result

# For an id in the path that does not match its pattern: no resource can have it.
_UNKNOWN_BY_PARAMETER: dict[str, DomainError] = {
    "client_id": errors.UnknownClient("There is no such client."),
    "product_id": errors.UnknownProduct("There is no such product."),
    "share_id": errors.UnknownShare("There is no such share."),
    "token": errors.UnknownShare.behind_link(),
    "code": errors.NoSuchRoute("There is no such type of problem."),
}


def result(error: Exception, event: Event) -> Result:
    """The answer to a request that raised the error.

    A status of 500 or more is logged in one line, with the reason and the request's id. The answer to an
    unforeseen error has only the id.
    """
    known, input_errors = _as_domain_error(error, event)
    fields = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **known.accepts}
    if known.status == 401:
        fields["WWW-Authenticate"] = _challenge(known)
    if known.retry_after is not None:
        fields["Retry-After"] = str(known.retry_after)
    if isinstance(known, errors.InternalError):
        logs.logger().error("unforeseen", exc_info=error, request_id=request.request_id(event))
        metrics.count("InternalErrors")
    elif known.status >= 500:
        log_unavailable(known.code, str(known), event)
    body: dict[str, Any] = {
        "type": known.type_uri(),
        "title": known.title,
        "status": known.status,
        "detail": known.detail,
        "request_id": request.request_id(event),
    }
    if isinstance(known, errors.InvalidInput):
        body["errors"] = input_errors
    if known.maximum is not None:
        body["max"] = known.maximum
    return {
        "statusCode": known.status,
        "headers": fields,
        "body": json_text.dumps(body),
        "isBase64Encoded": False,
    }


def log_unavailable(what: str, reason: str, event: Event) -> None:
    """Log why a request could not be answered."""
    # The first line of PostgreSQL's message is the reason; the other lines may quote data.
    logs.logger().error(what, reason=reason.partition("\n")[0], request_id=request.request_id(event))


def _challenge(error: DomainError) -> str:
    """The WWW-Authenticate header (RFC 6750 §3); for a more recent log-in, RFC 9470 §3."""
    if isinstance(error, errors.InvalidToken):
        return 'Bearer error="invalid_token"'
    if isinstance(error, errors.LogInTooLongAgo):
        return f'Bearer error="insufficient_user_authentication", max_age="{error.max_age}"'
    return "Bearer"


def _as_domain_error(error: Exception, event: Event) -> tuple[DomainError, list[dict[str, str]]]:
    """The error as a domain error, and the invalid values of the request."""
    if isinstance(error, RecursionError):  # of Powertools' parser, for JSON that is nested deeper still
        error = errors.InvalidInput("is not JSON", location="body", kind="json_invalid")
    if isinstance(error, errors.InvalidInput):
        return error, [_input_error(error.location.split("."), error.message, error.kind)]
    if isinstance(error, DomainError):
        return error, []
    if isinstance(error, NotFoundError):
        # Powertools matches no path with an unusual character in an id.
        for name in event.get("pathParameters") or {}:
            return _UNKNOWN_BY_PARAMETER[name], []
        return errors.NoSuchRoute("There is nothing at this address."), []
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    return errors.InternalError(
        "Something went wrong on our side. Tell us the request id: with it we find out what."
    ), []


def _of_validation(error: RequestValidationError) -> tuple[DomainError, list[dict[str, str]]]:
    found = list(error.errors())
    in_path = next((item["loc"][1] for item in found if item["loc"][0] == "path"), None)
    if in_path is not None:
        return _UNKNOWN_BY_PARAMETER[in_path], []
    return errors.InvalidInput("", location="", kind=""), [
        _input_error(
            [str(part) for part in item["loc"]],
            str(item["msg"]).removeprefix("Value error, "),
            str(item["type"]),
        )
        for item in found
    ]


def _input_error(location: Sequence[str], message: str, kind: str) -> dict[str, str]:
    """One invalid value, with its JSON Pointer (RFC 6901 §3) or the name of its parameter."""
    where, *path = location
    place = {"parameter": path[0]} if where == "query" else {"pointer": "".join(map(_token, path))}
    return {"location": ".".join(location), **place, "message": message, "type": kind}


def _token(part: str) -> str:
    return "/" + part.replace("~", "~0").replace("/", "~1")

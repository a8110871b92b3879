"""HTTP for every function: routing and validation by Powertools, callers, problems, and nothing else.

`resolver()` gives a function its app, `entry_point(app)` its Lambda handler. A route needs a caller unless
its resolver says that it is public. Errors of the domain become RFC 9457 problems here and only here.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, cast
from uuid import UUID

from aws_lambda_powertools.event_handler.api_gateway import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import BaseModel

from shared import errors
from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.formats import headers, json_text
from shared.formats.ids import PRODUCT_ID
from shared.formats.json_text import Rendered
from shared.models import NO_NUL, Health, Page
from shared.platform import deadlines, lean_imports, logs, metrics, secrets_manager, snapshots

if TYPE_CHECKING:
    from shared.products.demand import Answer

__all__ = ["NO_NUL", "ClientRef", "Cursor", "Limit", "ProductRef", "Query", "Resolver", "Response"]

MAX_BODY = 64 * 1024  # bytes; the longest legitimate body is a few hundred

Body = TypeVar("Body")
Item = TypeVar("Item", bound=BaseModel)
Event = dict[str, Any]
Result = dict[str, Any]

ClientRef = Annotated[
    Literal["me"] | UUID, Path(description="A client's id, or `me` for the caller's own.", examples=["me"])
]
ProductRef = Annotated[str, Path(pattern=PRODUCT_ID, description="The catalog's id.", examples=["7"])]
Limit = Annotated[int, Query(ge=1, le=100, description="The largest number of items on a page.")]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=6_000,
        description="The `next_cursor` of the page before.",
        # For callers to know; what is not so is refused as all else that is no cursor of the list.
        json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"},
    ),
]


class Resolver(APIGatewayHttpResolver):
    """Powertools' resolver, with this service's problems and its own JSON."""

    def __init__(self, *, public: bool) -> None:
        super().__init__(enable_validation=True)
        self.public = public
        # Answers are rendered by shared.formats.json_text, for the exact decimals that Powertools' response
        # validation would turn into strings; mypy checks their types instead.
        del self._response_validation_middleware
        self.use([_without_unknown_parameters])
        self.exception_handler(Exception)(self._problem)

    def _problem(self, error: Exception) -> Response[str]:
        return problem(error, self.current_event.raw_event)


def resolver(*, public: bool = False) -> Resolver:
    """The app of one function; its routes need a caller, unless it is `public`."""
    return Resolver(public=public)


def entry_point(
    app: Resolver, *, uses: Sequence[str] = (), short: Callable[[Caller, Event], Result | None] | None = None
) -> Callable[[Event, Any], Result]:
    """The Lambda handler that serves the app: finds the caller, checks the body, then lets the app answer.

    `short` may answer what is asked for most without the app, whose routing and validation take longer than
    a statement of one row; what it answers with None goes the long way, and so does all that is wrong.

    `uses` names the modules that answering imports on first use. They are imported here already: for its
    init phase Lambda lends an environment a whole CPU, for its requests a share by its memory.
    """
    for module in (*uses, *(() if app.public else ("jwt.api_jwt",)), *secrets_manager.modules()):
        import_module(module)
    if snapshots.are_taken():
        snapshots.protect()
    lean_imports.done()

    def lambda_handler(event: Event, context: Any) -> Result:
        started = time.perf_counter()
        try:
            with deadlines.within(deadlines.REQUEST):
                if not app.public:
                    app.context["caller"] = _authenticate(event)
                result = short(caller(app), event) if short else None
                result = result or app.resolve(_with_checked_body(event), context)
        except Exception as error:  # noqa: BLE001 — every refusal is a problem, the unforeseen too
            refusal = problem(error, event)
            result = {
                "statusCode": refusal.status_code,
                "headers": refusal.headers,
                "body": refusal.body,
                "isBase64Encoded": False,
            }
        result["headers"] = result["headers"] | headers.ALWAYS
        if event["requestContext"]["http"]["method"] == "HEAD":
            headers.take_body_away(result)
        # At DEBUG: API Gateway's access log says as much, and costs no time here.
        if logs.debugs():
            logs.logger().debug(
                "request",
                route=event.get("routeKey"),
                status=int(result["statusCode"]),
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                request_id=_request_id(event),
            )
        return result

    return lambda_handler


def refusals(*kinds: type[errors.DomainError], also: Sequence[int] = ()) -> dict[str, Any]:
    """What a route's description in the OpenAPI document needs beside its types (tools.openapi).

    `kinds` are the errors of its own that it answers with, `also` the further statuses of its success:
    304 for what has an entity tag (`tagged`), any other with the same body.
    """
    return {"x-refusals": [PROBLEMS[kind].slug for kind in kinds], "x-also": list(also)}


# ── Callers ───────────────────────────────────────────────────────────────────────────────────────────────


def caller(app: Resolver) -> Caller:
    """Who makes the request that the app is answering; only for routes that are not public."""
    return cast("Caller", app.context["caller"])


def header(app: Resolver, name: str) -> str | None:
    """A request header of the request that the app is answering, by its case-insensitive name."""
    return app.current_event.headers.get(name)


def source(app: Resolver) -> str:
    """The IP address of the connection to API Gateway, which no header can forge (docs/decisions.md)."""
    address: str = app.current_event.raw_event["requestContext"]["http"]["sourceIp"]
    return address


def _authenticate(event: Event) -> Caller:
    """The caller that the Authorization header's bearer token names (RFC 6750 §2.1)."""
    scheme, _, token = header_of(event, "authorization").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise errors.MissingCredentials("This route needs an access token: Authorization: Bearer …")
    return access_tokens.verify(token.strip())


# ── Parameters in ─────────────────────────────────────────────────────────────────────────────────────────


def _without_unknown_parameters(app: Resolver, answer: Callable[[Resolver], Response[Any]]) -> Response[Any]:
    """Let the route answer, unless the query has a parameter that it does not declare.

    A misspelled parameter is refused as a misspelled field of a body is: if it were ignored, the answer would
    be wrong and look right. Runs after Powertools' validation, so an error in the path is reported first.
    """
    sent = app.current_event.raw_event.get("queryStringParameters")
    if sent:
        known = {field.alias for field in app.context["_route"].dependant.query_params}
        for name in sent:
            if name not in known:
                raise errors.InvalidInput(
                    "is not a parameter of this route", location=f"query.{name}", kind="extra_forbidden"
                )
    return answer(app)


# ── Bodies in ─────────────────────────────────────────────────────────────────────────────────────────────

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"  # RFC 7396


def _with_checked_body(event: Event) -> Event:
    """The event, its body known to be JSON of a sane size, and said to be application/json."""
    method = event["requestContext"]["http"]["method"]
    if method not in ("POST", "PATCH"):
        return event
    accepted = (_MERGE_PATCH, _JSON) if method == "PATCH" else (_JSON,)
    media_type = header_of(event, "content-type").partition(";")[0].strip().lower()
    if media_type and media_type not in accepted:
        raise errors.UnsupportedMediaType(
            f"The body has to be {' or '.join(accepted)}.",
            accept_patch=", ".join(accepted) if method == "PATCH" else None,
        )
    body: str = event.get("body") or ""
    if len(body) > MAX_BODY:
        raise errors.BodyTooLarge(f"The body is longer than {MAX_BODY} bytes.")
    try:
        text = base64.b64decode(body).decode() if event.get("isBase64Encoded") else body
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidInput("is not JSON", location="body", kind="json_invalid") from error
    if not isinstance(value, dict):  # of a list, Powertools would take an item for the body
        raise errors.InvalidInput("is not an object", location="body", kind="object_type")
    others = {name: value for name, value in event["headers"].items() if name.lower() != "content-type"}
    return event | {"headers": others | {"content-type": _JSON}, "body": text, "isBase64Encoded": False}


def header_of(event: Event, name: str) -> str:
    """A request header by its lower-case name; empty where there is none."""
    for key, value in (event.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    return ""


# ── Answers out ───────────────────────────────────────────────────────────────────────────────────────────

_KEPT_PRIVATELY = {"Cache-Control": "private, no-cache"}


def ok(body: Body | Rendered[Body], **fields: str) -> Response[Body]:
    """200 with the body as JSON, and the header fields."""
    return _json(200, body, fields)


def created(body: Body | Rendered[Body], location: str | None = None) -> Response[Body]:
    """201 with the body as JSON, and where it can be read."""
    return _json(201, body, {"Location": location} if location else {})


def no_content() -> Response[None]:
    """204."""
    return Response(204)


def tagged(
    app: Resolver, body: Body | Rendered[Body] | None, *, etag: str | None = None, **fields: str
) -> Response[Body]:
    """200 with the body and its ETag, or 304 where the caller has it already (RFC 9110 §13.1.2).

    `etag` is the body's own hash where none is given. A body of None is one that the caller has.
    """
    body = None if body is None else json_text.rendered(body)
    etag = etag or (body.etag if body else "")
    fields = {"ETag": etag} | fields
    if body is None or headers.matches(app.current_event.headers, etag):
        return Response(304, headers=_KEPT_PRIVATELY | fields)
    return _json(200, body, fields)


def tagged_result(body: Rendered[Any] | None, fields: dict[str, str]) -> Result:
    """As `tagged`, for a `short` way: its `fields` have the ETag."""
    fields = _KEPT_PRIVATELY | fields
    if body is None:
        return {"statusCode": 304, "headers": fields, "body": "", "isBase64Encoded": False}
    fields["Content-Type"] = _JSON
    return {"statusCode": 200, "headers": fields, "body": body.text, "isBase64Encoded": False}


def page_result(event: Event, body: Rendered[Any], next_cursor: str | None) -> Result:
    """A page with its ETag and the Link to the next one, or 304, for a `short` way."""
    fields = {"ETag": body.etag}
    if next_cursor:
        fields["Link"] = headers.next_link(event, next_cursor)
    is_there = headers.matches(event.get("headers") or {}, fields["ETag"])
    return tagged_result(None if is_there else body, fields)


def changed(body: Body) -> Response[Body]:
    """200 with what a change has made, and its ETag."""
    text = json_text.rendered(body)
    return ok(text, ETag=text.etag)


def tokens(body: Body) -> Response[Body]:
    """200 with tokens, which no cache may keep (RFC 6749 §5.1)."""
    return _json(200, body, {"Cache-Control": "no-store"})


def page(
    app: Resolver, body: Page[Item] | Rendered[Page[Item]], next_cursor: str | None
) -> Response[Page[Item]]:
    """200 with a page and, where there is a next one, the Link to it."""
    return _json(200, body, next_link(app, next_cursor))


def next_link(app: Resolver, next_cursor: str | None) -> dict[str, str]:
    """The header field that leads to the next page, if there is one."""
    return {"Link": headers.next_link(app.current_event.raw_event, next_cursor)} if next_cursor else {}


def product(app: Resolver, answer: Answer) -> Response[Any]:
    """The ready body with the headers of the product cache, or 304."""
    from shared.products import answers  # the other functions have no use for the cache behind it

    status, fields, body = answers.answer(answer.entry, answer.state, app.current_event.raw_event)
    return Response(status, headers=fields, body=body)


def health(app: Resolver, body: Health, reason: str) -> Response[Health]:
    """200 while answers are served, else 503, logged with the reason; the body names what is down."""
    if body.status == "down":
        _log_unavailable("down", reason, app.current_event.raw_event)
    return _json(503 if body.status == "down" else 200, body, {"Cache-Control": "no-store"})


def attachment(body: Body | Rendered[Body], name: str) -> Response[Body]:
    """200 with JSON that a browser saves as a file of that name, and that nobody else may keep."""
    fields = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return _json(200, body, fields)


def text(body: str, content_type: str, fields: dict[str, str]) -> Response[Any]:
    """200 with a ready text, and the header fields."""
    return Response(200, content_type, body, fields)


def _json(status: int, body: Body | Rendered[Body], fields: dict[str, str]) -> Response[Body]:
    text = json_text.dumps(body)
    # Rendered here, so that Powertools passes it on as it is; the type is that of what was rendered.
    return Response(status, _JSON, cast("Body", text), _KEPT_PRIVATELY | fields)


# ── Problems ──────────────────────────────────────────────────────────────────────────────────────────────


class ProblemType(NamedTuple):
    """A kind of problem: its status, the slug of its type URI, and its title."""

    status: int
    slug: str
    title: str


PROBLEMS: dict[type[Exception], ProblemType] = {
    errors.BodyTooLarge: ProblemType(413, "body-too-large", "Body too large"),
    errors.UnsupportedMediaType: ProblemType(415, "unsupported-media-type", "Unsupported media type"),
    errors.InvalidInput: ProblemType(422, "invalid-input", "Invalid input"),
    errors.MissingCredentials: ProblemType(401, "missing-credentials", "Missing credentials"),
    errors.InvalidToken: ProblemType(401, "invalid-token", "Invalid access token"),
    errors.LogInTooLongAgo: ProblemType(401, "insufficient-user-authentication", "Log-in too long ago"),
    errors.InvalidCredentials: ProblemType(401, "invalid-credentials", "Wrong e-mail or password"),
    errors.InvalidRefreshToken: ProblemType(401, "invalid-refresh-token", "Invalid refresh token"),
    errors.TooManyAttempts: ProblemType(429, "too-many-attempts", "Too many failed attempts"),
    errors.Forbidden: ProblemType(403, "forbidden", "Forbidden"),
    errors.WrongPassword: ProblemType(403, "wrong-password", "Wrong password"),
    errors.UnknownClient: ProblemType(404, "unknown-client", "Unknown client"),
    errors.EmailTaken: ProblemType(409, "email-taken", "E-mail taken"),
    errors.LastAdmin: ProblemType(409, "last-admin", "Last admin"),
    errors.ChangedMeanwhile: ProblemType(412, "changed-meanwhile", "Changed meanwhile"),
    errors.UnknownProduct: ProblemType(404, "unknown-product", "Unknown product"),
    errors.NotFavorite: ProblemType(404, "not-favorite", "Not a favorite"),
    errors.AlreadyFavorite: ProblemType(409, "already-favorite", "Already a favorite"),
    errors.FavoritesFull: ProblemType(409, "favorites-full", "Favorites full"),
    errors.TooManyChanges: ProblemType(429, "too-many-changes", "Too many changes"),
    errors.CatalogUnavailable: ProblemType(503, "catalog-unavailable", "Catalog unavailable"),
    errors.DatabaseUnavailable: ProblemType(503, "database-unavailable", "Database unavailable"),
    secrets_manager.SecretUnavailable: ProblemType(503, "secret-unavailable", "Secret unavailable"),
    NotFoundError: ProblemType(404, "not-found", "Not found"),
    Exception: ProblemType(500, "internal-error", "Internal error"),
}

# A path that does not fit its pattern names a thing that cannot exist.
_UNKNOWN_BY_PARAMETER: dict[str, errors.DomainError] = {
    "client_id": errors.UnknownClient("There is no such client."),
    "product_id": errors.UnknownProduct("There is no such product."),
}


def problem(error: Exception, event: Event) -> Response[str]:
    """The error as RFC 9457 problem details.

    A status of 500 and more leaves one line in the log, with the reason and the request's id. Of an error
    that is not foreseen the caller learns nothing but that id.
    """
    error, input_errors = _foreseen(error, event)
    kind = next(PROBLEMS[ancestor] for ancestor in type(error).__mro__ if ancestor in PROBLEMS)
    fields = {"Cache-Control": "no-store"}
    if kind.status == 401:
        fields["WWW-Authenticate"] = _challenge(error)
    if isinstance(error, errors.UnsupportedMediaType) and error.accept_patch:
        fields["Accept-Patch"] = error.accept_patch  # RFC 5789 §2.2
    if isinstance(error, errors.DomainError):
        detail = error.detail
        if error.retry_after is not None:
            fields["Retry-After"] = str(error.retry_after)
        if kind.status >= 500:
            _log_unavailable(kind.slug, str(error), event)
    elif isinstance(error, NotFoundError):
        detail = "There is nothing at this address."
    else:
        logs.logger().error("unforeseen", exc_info=error, request_id=_request_id(event))
        metrics.count("InternalErrors")
        detail = "Something went wrong on our side. Tell us the request id: with it we find out what."
    body = {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": _request_id(event),
    }
    if kind.status == 422:
        body["errors"] = input_errors
    if isinstance(error, errors.FavoritesFull):
        body["max"] = error.maximum
    return Response(kind.status, "application/problem+json", json_text.dumps(body), fields)


def _challenge(error: Exception) -> str:
    """What the caller needs (RFC 6750 §3); a more recent log-in is RFC 9470 §3."""
    if isinstance(error, errors.InvalidToken):
        return 'Bearer error="invalid_token"'
    if isinstance(error, errors.LogInTooLongAgo):
        return f'Bearer error="insufficient_user_authentication", max_age="{error.max_age}"'
    return "Bearer"


def _foreseen(error: Exception, event: Event) -> tuple[Exception, list[dict[str, str]]]:
    """The error as one of ours where it is Powertools' or pydantic's, and what is wrong with which input."""
    if isinstance(error, errors.InvalidInput):
        return error, [{"location": error.location, "message": error.message, "type": error.kind}]
    if isinstance(error, NotFoundError):  # characters in an id that no path of Powertools' has
        for name in event.get("pathParameters") or {}:
            return _UNKNOWN_BY_PARAMETER[name], []
        return error, []
    if isinstance(error, RecursionError):  # JSON so deep that only Powertools' own reading of it failed
        error = errors.InvalidInput("is not JSON", location="body", kind="json_invalid")
        return _foreseen(error, event)
    if not isinstance(error, RequestValidationError):
        return error, []
    found = list(error.errors())
    in_path = next((item["loc"][1] for item in found if item["loc"][0] == "path"), None)
    if in_path is not None:
        return _UNKNOWN_BY_PARAMETER[in_path], []
    return errors.InvalidInput("", location="", kind=""), [
        {
            "location": ".".join(str(part) for part in item["loc"]),
            "message": str(item["msg"]).removeprefix("Value error, "),
            "type": str(item["type"]),
        }
        for item in found
    ]


def _log_unavailable(what: str, reason: str, event: Event) -> None:
    # Of what PostgreSQL says, the first line is why; those after it may quote the data.
    logs.logger().error(what, reason=reason.partition("\n")[0], request_id=_request_id(event))


def _request_id(event: Event) -> str:
    return str(event.get("requestContext", {}).get("requestId", ""))

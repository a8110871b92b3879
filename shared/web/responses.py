"""Answers of functions: JSON with its status and headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from aws_lambda_powertools.event_handler.api_gateway import Response

from shared.formats import json_text
from shared.formats.json_text import Rendered
from shared.models import Health
from shared.web import headers, problems
from shared.web.request import Event, Result

if TYPE_CHECKING:
    from shared.products.product_cache import Answer
    from shared.web.routing import Resolver

__all__ = ["Response"]

Body = TypeVar("Body")

_JSON = "application/json"
_KEPT_PRIVATELY = {"Cache-Control": "private, no-cache"}
NOT_STORED = {"Cache-Control": "no-store"}
# For pages behind a secret link: not for search engines, and the link is sent to no other site.
UNLISTED = NOT_STORED | {"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer"}


def ok(body: Body | Rendered[Body], **fields: str) -> Response[Body]:
    """200 with the body as JSON, and the header fields."""
    return _json(200, body, fields)


def created(body: Body | Rendered[Body], location: str | None = None, **fields: str) -> Response[Body]:
    """201 with the body as JSON, the location of the new resource, and the header fields."""
    return _json(201, body, ({"Location": location} if location else {}) | fields)


def no_content() -> Response[None]:
    """204."""
    return Response(204)


def tagged(
    app: Resolver,
    body: Body | Rendered[Body] | None,
    *,
    etag: str | None = None,
    next_cursor: str | None = None,
) -> Response[Body]:
    """Like `tagged_result`, for a route; the body may be a model."""
    body = None if body is None else json_text.rendered(body)
    result = tagged_result(app.event, body, etag=etag, next_cursor=next_cursor)
    return Response(result["statusCode"], headers=result["headers"], body=result["body"])


def tagged_result(
    event: Event, body: Rendered[Any] | None, *, etag: str | None = None, next_cursor: str | None = None
) -> Result:
    """200 with the body, its ETag and the Link to the next page; 304 if the caller has it (RFC 9110 §13.1.2).

    `etag` is the body's own hash by default. None as the body means that the caller is known to have it.
    """
    etag = etag or (body.etag if body else "")
    fields = _KEPT_PRIVATELY | {"ETag": etag} | headers.next_link(event, next_cursor)
    is_modified = body is not None and not headers.matches(event.get("headers") or {}, etag)
    return {
        "statusCode": 200 if is_modified else 304,
        "headers": fields | ({"Content-Type": _JSON} if is_modified else {}),
        "body": body.text if body is not None and is_modified else "",
        "isBase64Encoded": False,
    }


def changed(body: Body | Rendered[Body]) -> Response[Body]:
    """200 with the changed resource and its ETag."""
    text = json_text.rendered(body)
    return ok(text, ETag=text.etag)


def tokens(body: Body) -> Response[Body]:
    """200 with tokens, which no cache may store (RFC 6749 §5.1)."""
    return _json(200, body, NOT_STORED)


def page(
    app: Resolver, body: Body | Rendered[Body], next_cursor: str | None, **fields: str
) -> Response[Body]:
    """200 with a page, the Link to the next one, and the header fields."""
    return _json(200, body, headers.next_link(app.event, next_cursor) | fields)


def product(app: Resolver, answer: Answer) -> Response[Any]:
    """The ready body with the headers of the product cache, or 304."""
    # Imported here: the other functions do not load the cache.
    from shared.web import product_answers

    status, fields, body = product_answers.answer(answer.entry, answer.state, app.event)
    return Response(status, headers=fields, body=body)


def health(app: Resolver, body: Health, reason: str) -> Response[Health]:
    """200 while answers are served, else 503, logged with the reason; the body names what is down."""
    if body.status == "down":
        problems.log_unavailable("down", reason, app.event)
    return _json(503 if body.status == "down" else 200, body, {"Cache-Control": "no-store"})


def attachment(body: Body | Rendered[Body], name: str) -> Response[Body]:
    """200 with JSON that a browser saves as a file of that name, and that no cache may store."""
    fields = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return _json(200, body, fields)


def text(body: str, content_type: str, fields: dict[str, str]) -> Response[Any]:
    """200 with a ready text, and the header fields."""
    return Response(200, content_type, body, fields)


def _json(status: int, body: Body | Rendered[Body], fields: dict[str, str]) -> Response[Body]:
    text = json_text.dumps(body)
    # Rendered here, so that Powertools sends it unchanged; for mypy, it keeps the type of the body.
    return Response(status, _JSON, cast("Body", text), _KEPT_PRIVATELY | fields)

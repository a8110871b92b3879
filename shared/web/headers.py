"""Response headers that mean the same on every route, and the conditions of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from shared.formats import etags

# Of every answer: browsers must not guess the type, and must return only over TLS (RFC 6797).
ALWAYS = {"X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=31536000"}


def matches(headers: Mapping[str, str], etag: str) -> bool:
    """Whether If-None-Match names the entity tag, by weak comparison (RFC 9110 §8.8.3.2)."""
    # API Gateway sends names in lower case, SAM CLI in this one: two look-ups instead of a loop.
    wanted = headers.get("if-none-match") or headers.get("If-None-Match") or ""
    return etags.names(wanted, etag, weak=True)


def next_link(event: dict[str, Any], cursor: str | None) -> dict[str, str]:
    """The Link header (RFC 8288) to the next page, if there is one, with the request's parameters."""
    if not cursor:
        return {}
    parameters = {**(event.get("queryStringParameters") or {}), "cursor": cursor}
    return {"Link": f'<{event["rawPath"]}?{urlencode(parameters)}>; rel="next"'}


def remove_body(result: dict[str, Any]) -> None:
    """Turn the answer to GET into the one to HEAD: Content-Length without a body (RFC 9110 §8.6, §9.3.2)."""
    if result["statusCode"] != 304:
        result["headers"]["Content-Length"] = str(len(result["body"].encode()))
    result["body"] = ""

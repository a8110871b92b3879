"""Header values that say the same for every route: entity tags, conditions, links."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')

# On every answer of a function, whatever it is. A body is what its Content-Type says, and nothing a browser
# guesses; and a browser that was here once comes back over TLS only (RFC 6797).
ALWAYS = {"X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=31536000"}


def etag_of(body: str) -> str:
    """The body's strong entity tag (RFC 9110 §8.8.3)."""
    return '"' + hashlib.blake2b(body.encode(), digest_size=12).hexdigest() + '"'


def matches(headers: Mapping[str, str], etag: str) -> bool:
    """Whether If-None-Match names the entity tag, by weak comparison (RFC 9110 §8.8.3.2)."""
    # API Gateway writes names in lower case, SAM CLI as here; nobody has to look through twenty of them.
    wanted = headers.get("if-none-match") or headers.get("If-None-Match") or ""
    return wanted.strip() == "*" or etag in _ENTITY_TAG.findall(wanted)


def next_link(event: dict[str, Any], cursor: str) -> str:
    """The Link header (RFC 8288) that leads to the page behind this one, with the request's parameters."""
    parameters = {**(event.get("queryStringParameters") or {}), "cursor": cursor}
    return f'<{event["rawPath"]}?{urlencode(parameters)}>; rel="next"'


def take_body_away(result: dict[str, Any]) -> None:
    """Make a function's answer to GET that to HEAD: without the body, whose length it tells.

    RFC 9110 §8.6 and §9.3.2.
    """
    if result["statusCode"] != 304:
        result["headers"]["Content-Length"] = str(len(result["body"].encode()))
    result["body"] = ""

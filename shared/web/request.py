"""Reading the events of API Gateway (payload format 2.0)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shared.formats.ids import is_product_id
from shared.limits import MAX_REQUESTED, PAGE_SIZE
from shared.platform import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

Event = dict[str, Any]
Result = dict[str, Any]

_LIMIT = re.compile("[1-9][0-9]?|100")


def method(event: Event) -> str:
    """The request's method, in capitals."""
    return str(event["requestContext"]["http"]["method"])


def with_decoded_path(event: Event) -> Event:
    """The event with decoded parameters in its path, where Powertools reads them.

    A product_id may hold `%2F`, which a URL writes as `%252F`; whether `rawPath` is decoded depends on the
    gateway, `pathParameters` always are.
    """
    path = str(event.get("routeKey", "")).partition(" ")[2]
    for name, value in (event.get("pathParameters") or {}).items():
        path = path.replace(f"{{{name}}}", value)
    return event | {"rawPath": path} if event.get("pathParameters") and path else event


def header(event: Event, name: str) -> str:
    """A request header by its lower-case name, or an empty text."""
    for key, value in (event.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    return ""


def source_ip(event: Event) -> str:
    """The IP address of the connection to API Gateway, which no header can forge (docs/decisions.md).

    Of a request that proves to come through our own CloudFront, the address that CloudFront saw. Raises
    SecretUnavailable.
    """
    seen, proof = header(event, "cloudfront-viewer-address"), header(event, "x-edge-credentials")
    if seen and proof and _is_from_the_edge(proof):
        return seen.rpartition(":")[0].strip("[]")  # without the port
    return str(event["requestContext"]["http"]["sourceIp"])


def _is_from_the_edge(proof: str) -> bool:
    import hmac  # only behind an edge

    expected = settings.edge_credentials()
    return bool(expected) and hmac.compare_digest(proof.encode(), expected.encode())


def request_id(event: Event) -> str:
    """The id of the request, which its log lines have too."""
    return str(event.get("requestContext", {}).get("requestId", ""))


def requested_ids(parameters: Mapping[str, str]) -> list[str] | None:
    """The products of the query parameter `product_id`, each once, if it is the only parameter.

    API Gateway joins repeated parameters with commas. None for any other query, and for invalid ids, which
    the app's validation refuses.
    """
    product_ids = parameters.get("product_id", "").split(",")
    if len(parameters) > 1 or len(product_ids) > MAX_REQUESTED or not all(map(is_product_id, product_ids)):
        return None
    return list(dict.fromkeys(product_ids))


def first_page_limit(event: Event) -> int | None:
    """The `limit` of a request for a list, if it has no other parameter.

    None for any other request, and for an invalid limit, which the app's validation refuses.
    """
    parameters = event.get("queryStringParameters") or {}
    limit = parameters.get("limit", str(PAGE_SIZE))
    return int(limit) if parameters.keys() <= {"limit"} and _LIMIT.fullmatch(limit) else None

"""Request bodies: JSON objects of a bounded size."""

from __future__ import annotations

import base64
import json

from shared.errors import BodyTooLarge, InvalidInput, UnsupportedMediaType
from shared.web import request
from shared.web.request import Event

MAX_BODY = 64 * 1024  # bytes; the longest legitimate body is a few hundred
_MAX_ENCODED = (MAX_BODY + 2) // 3 * 4  # characters of base64

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"  # RFC 7396


def checked(event: Event) -> Event:
    """The event, its body checked and labeled application/json if its method has one.

    Raises UnsupportedMediaType, BodyTooLarge and InvalidInput.
    """
    method = request.method(event)
    if method not in ("POST", "PATCH"):
        return event
    _check_media_type(event, (_MERGE_PATCH, _JSON) if method == "PATCH" else (_JSON,))
    try:
        text = _bytes(event).decode("utf-8-sig")  # without a byte order mark (RFC 8259 §8.1)
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("is not JSON", location="body", kind="json_invalid") from error
    if not isinstance(value, dict):  # Powertools would read an item of a list as the body
        raise InvalidInput("is not an object", location="body", kind="object_type")
    others = {name: value for name, value in event["headers"].items() if name.lower() != "content-type"}
    return event | {"headers": others | {"content-type": _JSON}, "body": text, "isBase64Encoded": False}


def _bytes(event: Event) -> bytes:
    """The body, decoded; its length is checked before and after decoding."""
    body: str = event.get("body") or ""
    is_encoded = event.get("isBase64Encoded")
    if len(body) > (_MAX_ENCODED if is_encoded else MAX_BODY):
        raise _too_large()
    content = base64.b64decode(body) if is_encoded else body.encode(errors="surrogatepass")
    if len(content) > MAX_BODY:
        raise _too_large()
    return content


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is longer than {MAX_BODY} bytes.")


def _check_media_type(event: Event, accepted: tuple[str, ...]) -> None:
    encoding = request.header(event, "content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The body is encoded ({encoding[:20]}). Send it as it is.",
            accepts={"Accept-Encoding": "identity"},  # RFC 9110 §12.5.3
        )
    media_type = request.header(event, "content-type").partition(";")[0].strip().lower()
    if media_type and media_type not in accepted:
        raise UnsupportedMediaType(
            f"The body has to be {' or '.join(accepted)}.",
            # RFC 5789 §2.2
            accepts={"Accept-Patch": ", ".join(accepted)} if _MERGE_PATCH in accepted else {},
        )

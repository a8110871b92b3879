"""The form of ids."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A product's id is the catalog's own, as text: characters that a URL's path takes as they are (RFC 3986
# §2.3).
PRODUCT_ID = r"^[A-Za-z0-9._~-]{1,64}$"

MAX_ASKED = 100  # products that one request may ask for or about: more than a page of any shop shows

is_product_id = re.compile(PRODUCT_ID).fullmatch


def asked_for(parameters: Mapping[str, str]) -> list[str] | None:
    """The products of the query parameter `product_id`, each once, where it is the only one.

    API Gateway joins what is repeated with commas. None where there is more to say: the long way tells it.
    """
    asked = parameters.get("product_id", "").split(",")
    if len(parameters) > 1 or len(asked) > MAX_ASKED or not all(map(is_product_id, asked)):
        return None
    return list(dict.fromkeys(asked))

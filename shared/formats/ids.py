"""The form of ids."""

from __future__ import annotations

# A product's id is the catalog's own, as text: characters that a URL's path takes as they are (RFC 3986
# §2.3).
PRODUCT_ID = r"^[A-Za-z0-9._~-]{1,64}$"

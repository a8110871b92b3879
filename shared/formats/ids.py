"""The form of ids."""

from __future__ import annotations

import re

# A product's id is the catalog's own, as text: characters that a URL's path takes as they are (RFC 3986
# §2.3), and all others percent-encoded (§2.1, upper-case digits): `AB/12` is `AB%2F12`.
PRODUCT_ID = r"^([A-Za-z0-9._~-]|%[0-9A-F]{2}){1,64}$"

is_product_id = re.compile(PRODUCT_ID).fullmatch

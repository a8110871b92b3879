"""The syntax of e-mail addresses, and their equality."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

# Nearly all addresses, which are their own normal form. email-validator checks the others; a test verifies
# that it accepts all of these unchanged.
PLAIN = re.compile(
    r"[a-z0-9]+(?:[._+-][a-z0-9]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion)$)[a-z]{2,}"
)


def checked_email(text: str) -> str:
    """The address in its normal form (RFC 5321 and 6531 syntax; its domain in lower case).

    Raises ValueError for any other text. Deliverability is not checked, because that needs the network.
    """
    if len(text) <= 64 and PLAIN.fullmatch(text):
        return text
    # Imported here, only for unusual addresses: compiling its patterns takes 22 ms.
    from email_validator import validate_email

    # test_environment allows the reserved top-level domain .test (RFC 2606), for the tests of shops.
    return validate_email(text, check_deliverability=False, test_environment=True).normalized


def email_key(email: str) -> str:
    """The key of an address, the same for all its spellings; it is unique among the clients.

    Lower case and NFC. Case folding would give two addresses, groß@ and gross@, one key. The domain is
    compared in Unicode, after the mapping of UTS 46, as browsers and mail programs do.
    """
    local, at, domain = _lower(email.strip()).rpartition("@")
    if at and not (domain.isascii() and "xn--" not in domain):
        import idna  # takes 3 ms; few addresses have such a domain

        with suppress(idna.IDNAError):
            domain = idna.uts46_remap(domain, std3_rules=False, transitional=False)
            domain = ".".join(map(idna.ulabel, domain.split(".")))
    # PostgreSQL's text type has no NUL; it becomes another character that no address has.
    return _lower(local + at + domain).replace("\0", "\ufffd")


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())

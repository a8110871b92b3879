"""What counts as an e-mail address, and when two of them are the same."""

from __future__ import annotations

import unicodedata
from contextlib import suppress


def checked_email(text: str) -> str:
    """The address in its normal form (RFC 5321 and 6531 syntax; its domain in lower case).

    Raises ValueError where it is none. Whether it can be delivered is not asked: that takes the network.
    """
    # Imported here: reading a client or listing favourites has no use for its 20 ms.
    from email_validator import validate_email

    # test_environment lets the reserved top-level domain .test through (RFC 2606): shops try things out.
    return validate_email(text, check_deliverability=False, test_environment=True).normalized


def email_key(email: str) -> str:
    """What two spellings of the same address have in common: the key that is unique among the clients."""
    key = email.strip().casefold()
    local, at, domain = key.rpartition("@")
    if "xn--" in domain:  # an internationalized domain as machines write it (RFC 5890)
        import idna

        with suppress(idna.IDNAError):
            key = local + at + idna.decode(domain)
    # NUL, which PostgreSQL cannot even look up, becomes another character that no address has.
    return unicodedata.normalize("NFC", key).casefold().replace("\0", "\ufffd")

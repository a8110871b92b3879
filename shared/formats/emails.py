"""What counts as an e-mail address, and when two of them are the same."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

# An address as nearly all are, which is its own normal form. What else is one, email-validator knows; a test
# holds that it takes all of these as they are.
PLAIN = re.compile(
    r"[a-z0-9]+(?:[._+-][a-z0-9]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion)$)[a-z]{2,}"
)


def checked_email(text: str) -> str:
    """The address in its normal form (RFC 5321 and 6531 syntax; its domain in lower case).

    Raises ValueError where it is none. Whether it can be delivered is not asked: that takes the network.
    """
    if len(text) <= 64 and PLAIN.fullmatch(text):
        return text
    # Imported here, for the others: compiling its patterns takes 22 ms.
    from email_validator import validate_email

    # test_environment lets the reserved top-level domain .test through (RFC 2606): shops try things out.
    return validate_email(text, check_deliverability=False, test_environment=True).normalized


def email_key(email: str) -> str:
    """What two spellings of the same address have in common: the key that is unique among the clients.

    Lower case and NFC, and not case folding, which makes one account of two addresses: groß@ and gross@.
    The domain is compared in Unicode, after the mapping of UTS 46: what a browser or a mail program does.
    """
    local, at, domain = _lower(email.strip()).rpartition("@")
    if at and not (domain.isascii() and "xn--" not in domain):
        import idna  # 3 ms, for the few addresses that have such a domain

        with suppress(idna.IDNAError):
            domain = idna.uts46_remap(domain, std3_rules=False, transitional=False)
            domain = ".".join(map(idna.ulabel, domain.split(".")))
    # NUL, which PostgreSQL cannot even look up, becomes another character that no address has.
    return _lower(local + at + domain).replace("\0", "\ufffd")


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())

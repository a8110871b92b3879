"""Strong entity tags (RFC 9110 §8.8.3), and the conditions on them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from shared.errors import ChangedMeanwhile

_TAG = re.compile(r'(W/)?("[^"]*")')


def etag_of(body: str) -> str:
    """The body's strong entity tag, with its quotes."""
    return '"' + hashlib.blake2b(body.encode(), digest_size=12).hexdigest() + '"'


@dataclass(frozen=True, slots=True)
class Preconditions:
    """If-Match and If-None-Match of a request that changes something (RFC 9110 §13.1), as they were sent."""

    if_match: str | None = None
    if_none_match: str | None = None

    @property
    def are_given(self) -> bool:
        """Whether the request has one."""
        return self.if_match is not None or self.if_none_match is not None

    def check(self, etag: str | None) -> None:
        """Raise ChangedMeanwhile unless what has this ETag may be changed; None stands for what is not there.

        If-Match takes the strong comparison, If-None-Match the weak one (§8.8.3.2).
        """
        if self.if_match is not None and not _names(self.if_match, etag, weak=False):
            raise ChangedMeanwhile("It has changed since the ETag that If-Match names.")
        if self.if_none_match is not None and _names(self.if_none_match, etag, weak=True):
            raise ChangedMeanwhile("It is there as If-None-Match names it.")


def _names(header: str, etag: str | None, *, weak: bool) -> bool:
    if etag is None:
        return False
    return header.strip() == "*" or any(
        tag == etag for prefix, tag in _TAG.findall(header) if weak or not prefix
    )


NO_PRECONDITIONS = Preconditions()

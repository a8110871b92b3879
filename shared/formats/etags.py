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


def names(header: str, etag: str, *, weak: bool) -> bool:
    """Whether If-Match or If-None-Match names the tag, by the weak or the strong comparison (§8.8.3.2)."""
    return header.strip() == "*" or any(
        tag == etag for prefix, tag in _TAG.findall(header) if weak or not prefix
    )


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
        """Raise ChangedMeanwhile unless a resource with this ETag may be changed; None: there is no resource.

        Call it last: a request that fails anyway fails as it would without the conditions (§13.2.1).
        """
        if self.if_match is not None and (etag is None or not names(self.if_match, etag, weak=False)):
            raise ChangedMeanwhile("It has changed since the ETag that If-Match names.")
        if self.if_none_match is not None and etag is not None and names(self.if_none_match, etag, weak=True):
            raise ChangedMeanwhile("It is there as If-None-Match names it.")


NO_PRECONDITIONS = Preconditions()

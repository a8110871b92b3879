"""Password rules and hashes: Argon2id with the parameters of OWASP's password storage cheat sheet."""

from __future__ import annotations

import unicodedata
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import InvalidInput

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# For unknown accounts: a hash with the same parameters, so that verifying costs the same.
_DUMMY_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$iMeMW2MSxdugFQypqsIy1g$bUj3IUC9xx1XkRLjLVoXhtxONyZqE5sJMwHyixQIzF8"
)
_OF_THE_SERVICE = ("favorites", "favorites service", "favorites api")
_SHORTEST_WORD = 4  # characters; shorter words may be whole passwords


# ── Which passwords are too easy ──────────────────────────────────────────────────────────────────────────


def checked_password(password: str) -> str:
    """The password, unless it is among the most common ones. Raises ValueError.

    A length and a list, and no rules of composition: NIST SP 800-63B §3.1.1.2, OWASP ASVS 5.0 §6.2.4. A
    second comparison ignores marks, so `Senha@123` is as common as `senha123`.
    """
    folded = _folded(password)
    if not folded or any(_is_common(form) for form in (folded, _without_marks(folded)) if form):
        raise ValueError("is one of the most common passwords")
    return password


def check_personal(password: str, *, name: str, email: str) -> None:
    """Raises InvalidInput for the own name or e-mail, or the service's name, with digits and marks or not.

    OWASP ASVS 5.0 §6.2.11.
    """
    local, _, domain = email.partition("@")
    words = {_core(word) for word in (name, *name.split(), local, email, domain, *_OF_THE_SERVICE)}
    if _core(password) in {word for word in words if len(word) >= _SHORTEST_WORD}:
        raise InvalidInput(
            "is too easy to guess: it is made of your name, your e-mail or the name of this service",
            location="body.password",
            kind="value_error",
        )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _without_marks(folded: str) -> str:
    return "".join(filter(str.isalnum, folded))


def _core(text: str) -> str:
    return _without_marks(_folded(text)).strip("0123456789")


def _is_common(folded: str) -> bool:
    return f"\n{folded}\n" in _common_passwords()


@cache
def _common_passwords() -> str:
    """20,000 of them in folded form, one a line.

    From Django 5.2.8 (django/contrib/auth/common-passwords.txt.gz, license in common_passwords.LICENSE), and
    some of our own. Searching the text takes 0.1 ms; making a set of it would take 5 ms.
    """
    packed = Path(__file__).with_name("common_passwords.txt.gz").read_bytes()
    return zlib.decompress(packed, wbits=31).decode()


# ── Hashes ────────────────────────────────────────────────────────────────────────────────────────────────


def hash_password(password: str) -> str:
    """The Argon2id hash (PHC string format) of the password in its normal form (NIST SP 800-63B §3.1.1.2).

    Keyboards differ in how they type é.
    """
    return _hasher().hash(_normal(password))


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether the hash is of this password; None takes the same time as a hash.

    Until 1.1 hashes were made without the normal form.
    """
    held = password_hash or _DUMMY_HASH
    forms = dict.fromkeys((_normal(password), password))
    return any(_is_of(form, held) for form in forms) and password_hash is not None


def needs_rehash(password_hash: str, password: str) -> bool:
    """Whether the hash has old parameters, or is not of the normal form."""
    normal = _normal(password)
    return _hasher().check_needs_rehash(password_hash) or (
        normal != password and not _is_of(normal, password_hash)
    )


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)


def _is_of(password: str, password_hash: str) -> bool:
    from argon2.exceptions import VerifyMismatchError  # see _hasher

    try:
        return _hasher().verify(password_hash, password)
    except VerifyMismatchError:
        return False


@cache
def _hasher() -> PasswordHasher:
    # Imported on first use: only few functions hash.
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # memory in KiB

"""Password rules and hashes: Argon2id with the parameters of OWASP's password storage cheat sheet."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# Nobody's password, hashed with the same parameters: verifying against it costs what a real one costs.
_NOBODYS_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$iMeMW2MSxdugFQypqsIy1g$bUj3IUC9xx1XkRLjLVoXhtxONyZqE5sJMwHyixQIzF8"
)


def checked_password(password: str) -> str:
    """The password, unless it is among the most common ones. Raises ValueError.

    No rules of composition: length and this list are what NIST SP 800-63B §3.1.1.2 asks for.
    """
    if password.casefold() in _common_passwords():
        raise ValueError("is one of the most common passwords")
    return password


def hash_password(password: str) -> str:
    """The password's Argon2id hash, with its parameters and salt (PHC string format)."""
    return _hasher().hash(password)


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether the hash was made of this password; the same work is done where there is no hash (None)."""
    from argon2.exceptions import VerifyMismatchError  # see _hasher

    try:
        _hasher().verify(password_hash or _NOBODYS_HASH, password)
    except VerifyMismatchError:
        return False
    return password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(password_hash)


@cache
def _hasher() -> PasswordHasher:
    # Imported on first use: of the functions that know clients, only a few ever see a password.
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # memory in KiB


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("common_passwords.txt").read_text().split())

"""The function's settings: environment variables, read when they are needed and never at import.

All are declared in template.yaml; one that is missing and has no default is an error that names it. The value
of a secret may be the ARN of a secret that holds it (`shared.platform.secrets_manager`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from shared.platform import secrets_manager


class MissingSetting(RuntimeError):
    """An environment variable is missing or invalid."""


def database_url() -> str:
    """PostgreSQL's address: `postgresql://user:password@host:port/database`, or without user and password."""
    return _required("DATABASE_URL")


def database_credentials() -> dict[str, str]:
    """`user` and `password` from the secret DATABASE_CREDENTIALS; empty if the address has them.

    Raises SecretUnavailable, and MissingSetting for a secret of another shape.
    """
    if "@" in database_url():
        return {}
    # Read again for each connection, because passwords are renewed.
    name = "DATABASE_CREDENTIALS"
    user, password = _credentials(name, secrets_manager.read(_required(name)))
    return {"user": user, "password": password}


def address_key() -> bytes:
    """The key with which IP addresses are hashed for Valkey: the database's credentials.

    All functions that count attempts have them, and readers of Valkey do not. With another password, all
    addresses are new. Raises SecretUnavailable.
    """
    url = database_url()
    secret = url if "@" in url else secrets_manager.kept(_required("DATABASE_CREDENTIALS"))
    return secret.encode()


def edge_credentials() -> str:
    """What only CloudFront adds to a request, by EDGE_CREDENTIALS or the secret that it names; "" for none.

    Raises SecretUnavailable.
    """
    value = os.environ.get("EDGE_CREDENTIALS", "").strip()
    return secrets_manager.kept(value) if secrets_manager.is_arn(value) else value


def longest_session() -> timedelta:
    """The longest time between the log-in and the end of a session."""
    return timedelta(days=int(os.environ.get("SESSION_MAX_DAYS", "90")))


def redis_url() -> str:
    """Valkey's address: `redis://host:port`, or `rediss://` for TLS."""
    return _required("REDIS_URL")


def catalog_url() -> str:
    """The catalog's base address, without a slash at its end. Raises MissingSetting for another form."""
    return checked_catalog_url(_required("CATALOG_URL"))


@lru_cache(maxsize=4)
def checked_catalog_url(url: str) -> str:
    """The address without a slash at its end. Raises MissingSetting, without the password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise MissingSetting(f"CATALOG_URL is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise MissingSetting("CATALOG_URL must begin with http:// or https:// and name a host")
    if parts.username is not None:
        raise MissingSetting("CATALOG_URL has a user or password: set CATALOG_AUTHORIZATION instead")
    if parts.query or parts.fragment:
        raise MissingSetting("CATALOG_URL has a query: it belongs into the 'query' of CATALOG_MAPPING")
    path = parts.path.rstrip("/")
    if path.endswith("/products"):
        shorter = f"{parts.scheme}://{parts.netloc}{path.removesuffix('/products')}"
        raise MissingSetting(f"CATALOG_URL ends in /products, which is added to it: write {shorter}")
    return f"{parts.scheme}://{parts.netloc}{path}"


def catalog_mapping() -> str:
    """The name of a preset or a JSON object (docs/catalogs.md); empty for the Fake Store."""
    return os.environ.get("CATALOG_MAPPING", "").strip()


def catalog_currency() -> str | None:
    """The currency (ISO 4217) of products without one. Raises MissingSetting."""
    currency = os.environ.get("CATALOG_CURRENCY", "").strip()
    if currency and not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise MissingSetting("CATALOG_CURRENCY must be three capital letters, such as BRL (ISO 4217)")
    return currency or None


def catalog_headers() -> dict[str, str]:
    """The headers of every request to the catalog.

    CATALOG_AUTHORIZATION is the value of Authorization or the ARN of its secret, and CATALOG_HEADERS a JSON
    object of others. Raises SecretUnavailable and MissingSetting.
    """
    value = os.environ.get("CATALOG_AUTHORIZATION", "").strip()
    authorization = secrets_manager.kept(value).strip() if secrets_manager.is_arn(value) else value
    headers = _headers(os.environ.get("CATALOG_HEADERS", ""))
    return {**headers, "Authorization": authorization} if authorization else dict(headers)


@lru_cache(maxsize=4)
def _headers(text: str) -> Mapping[str, str]:
    try:
        headers = json.loads(text or "{}")
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise MissingSetting("CATALOG_HEADERS must be a JSON object of texts")
    return headers


def product_cache_ttl() -> int:
    """Seconds for which a product is fresh."""
    return int(os.environ.get("PRODUCT_CACHE_TTL_SECONDS", "300"))


def allow_mass_removal() -> bool:
    """Whether a poll may remove more than half of the products."""
    return os.environ.get("ALLOW_MASS_REMOVAL", "").lower() == "true"


def send_alerts_function() -> str | None:
    """The function that is invoked after a push; None where the schedule alone invokes it."""
    return os.environ.get("SEND_ALERTS_FUNCTION") or None


def event_bus_name() -> str:
    """The EventBridge bus for the service's own events."""
    return _required("EVENT_BUS_NAME")


def access_token_keys() -> Mapping[str, str]:
    """HMAC secrets by key id; the first one signs, and all verify. Raises SecretUnavailable."""
    value = _required("ACCESS_TOKEN_KEYS")
    return keys_of(secrets_manager.kept(value) if secrets_manager.is_arn(value) else value)


@lru_cache(maxsize=4)  # needed for every token, and changed by rotations only
def keys_of(text: str) -> Mapping[str, str]:
    """The keys in a JSON text. Raises MissingSetting."""
    try:
        keys = json.loads(text)
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not keys or not all(isinstance(key, str) for key in keys.values()):
        raise MissingSetting("ACCESS_TOKEN_KEYS must be a JSON object of key id to secret")
    for key_id, key in keys.items():
        if len(key.encode()) < 32:  # RFC 7518 §3.2: a key as long as the hash, or longer
            raise MissingSetting(f"ACCESS_TOKEN_KEYS: the secret of {key_id!r} is shorter than 32 bytes")
    return keys


def first_admin() -> tuple[str, str] | None:
    """E-mail and password of the admin that the migrations create, if any. Raises SecretUnavailable."""
    email, password = os.environ.get("ADMIN_EMAIL", ""), os.environ.get("ADMIN_PASSWORD", "")
    if not (email and password):
        return None
    return email, secrets_manager.read(password) if secrets_manager.is_arn(password) else password


def role_passwords() -> dict[str, str]:
    """The password of each role that the migrations make for the functions, by its name.

    SERVICE_CREDENTIALS and CATALOG_CREDENTIALS have the form of DATABASE_CREDENTIALS, or are ARNs. Any other
    value makes no role: SAM CLI sets the name of the secret's resource. Raises SecretUnavailable, and
    MissingSetting for a secret of another shape.
    """
    passwords = {}
    for name in ("SERVICE_CREDENTIALS", "CATALOG_CREDENTIALS"):
        value = os.environ.get(name, "")
        if secrets_manager.is_arn(value):
            value = secrets_manager.read(value)
        elif not value.startswith("{"):
            continue
        role, password = _credentials(name, value)
        passwords[role] = password
    return passwords


def _credentials(name: str, text: str) -> tuple[str, str]:
    """User and password from a secret in the form of RDS."""
    try:
        held = json.loads(text)
    except ValueError:
        held = None
    match held:
        case {"username": str(username), "password": str(password)} if username and password:
            return username, password
    raise MissingSetting(f"{name} must be a JSON object of username and password")


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise MissingSetting(f"the environment variable {name} is not set")
    return value

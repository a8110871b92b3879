import json
from collections.abc import Callable

import pytest

from shared.platform import secrets_manager, settings
from shared.platform.settings import MissingSetting
from tests.unit.documents.test_names import TEMPLATE

KEY = "k" * 32


Read = Callable[[], object]


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "CATALOG_URL",
        "ACCESS_TOKEN_KEYS",
        "PRODUCT_CACHE_TTL_SECONDS",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("ADMIN_EMAIL", "ADMIN_PASSWORD", "SERVICE_CREDENTIALS", "CATALOG_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("DATABASE_URL", settings.database_url),
        ("REDIS_URL", settings.redis_url),
        ("CATALOG_URL", settings.catalog_url),
        ("ACCESS_TOKEN_KEYS", settings.access_token_keys),
    ],
)
def test_a_missing_setting_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, read: Read
) -> None:
    with pytest.raises(MissingSetting, match=name):
        read()
    monkeypatch.setenv(name, "")
    with pytest.raises(MissingSetting, match=name):
        read()


def test_settings_are_read_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("redis://one", "redis://two"):
        monkeypatch.setenv("REDIS_URL", address)
        assert settings.redis_url() == address


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_the_catalogs_address_ends_without_a_slash(monkeypatch: pytest.MonkeyPatch, slashes: str) -> None:
    monkeypatch.setenv("CATALOG_URL", f"http://catalog.test/api{slashes}")
    assert settings.catalog_url() == "http://catalog.test/api"


def test_products_are_fresh_for_5_minutes_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    default = TEMPLATE["Parameters"]["ProductCacheTtlSeconds"]["Default"]
    assert settings.product_cache_ttl() == 300 == default
    monkeypatch.setenv("PRODUCT_CACHE_TTL_SECONDS", "10")
    assert settings.product_cache_ttl() == 10


def test_keys_come_in_their_order_and_are_as_long_as_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"z": KEY, "a": "é" * 16}))
    assert list(settings.access_token_keys().items()) == [("z", KEY), ("a", "é" * 16)]


@pytest.mark.parametrize(
    "value",
    [
        *("not JSON", "{", "[]", "null", "{}", '"text"', '{"a": 7}', '{"a": null}'),
        json.dumps({"good": KEY, "bad": "s" * 31}),
    ],
)
def test_keys_of_another_shape_or_too_short_are_an_error_that_does_not_show_them(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", value)
    with pytest.raises(MissingSetting, match="ACCESS_TOKEN_KEYS") as error:
        settings.access_token_keys()
    assert "sss" not in str(error.value)
    assert ("'bad'" in str(error.value)) == ("bad" in value)


@pytest.mark.parametrize(("email", "password"), [("admin@example.com", "secret"), ("a@b.c", ""), ("", "s")])
def test_there_is_a_first_admin_where_both_are_set(
    monkeypatch: pytest.MonkeyPatch, email: str, password: str
) -> None:
    assert settings.first_admin() is None
    monkeypatch.setenv("ADMIN_EMAIL", email)
    monkeypatch.setenv("ADMIN_PASSWORD", password)
    assert settings.first_admin() == ((email, password) if email and password else None)


# ── The roles of the functions ────────────────────────────────────────────────────────────────────────────

SERVICE = '{"username": "favorites_service", "password": "one"}'
CATALOG = '{"password": "two", "username": "favorites_catalog", "engine": "postgres"}'
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ServiceCredentials-a1b2c3"


def test_the_roles_are_those_of_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_manager, "read", {ARN: SERVICE}.__getitem__)
    monkeypatch.setenv("SERVICE_CREDENTIALS", ARN)
    monkeypatch.setenv("CATALOG_CREDENTIALS", CATALOG)
    assert settings.role_passwords() == {"favorites_service": "one", "favorites_catalog": "two"}


@pytest.mark.parametrize("value", [None, "", "ServiceCredentials", "null", "[]"])
def test_without_a_secret_there_is_no_role(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("SERVICE_CREDENTIALS", value)
        monkeypatch.setenv("CATALOG_CREDENTIALS", value)
    assert settings.role_passwords() == {}


@pytest.mark.parametrize(
    "held",
    [
        *("{", "{}", '{"username": "hunter2"}', '{"password": "hunter2"}'),
        *('{"username": "", "password": "hunter2"}', '{"username": "hunter2", "password": ""}'),
        *('{"username": 7, "password": "hunter2"}', '{"username": "hunter2", "password": null}'),
        *('"hunter2"', "hunter2", "null", "[]"),
    ],
)
def test_a_secret_of_another_shape_is_an_error_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    monkeypatch.setattr(secrets_manager, "read", lambda _: held)
    for value in [ARN, held] if held.startswith("{") else [ARN]:
        monkeypatch.setenv("SERVICE_CREDENTIALS", value)
        with pytest.raises(MissingSetting, match="SERVICE_CREDENTIALS") as error:
            settings.role_passwords()
        assert "hunter2" not in str(error.value)
        assert error.value.__context__ is None  # a JSONDecodeError has the whole document

"""Settings from the shell: a value that is not valid is reported before anything starts, in one line."""

import json

import pytest

from local import settings
from local.aws.template import declared_parameters
from local.servers.services import ServiceFailed


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("LOG_LEVEL", "verbose", "LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not 'verbose'."),
        ("ALLOW_MASS_REMOVAL", "yes", "ALLOW_MASS_REMOVAL must be true or false, not 'yes'."),
        ("CATALOG_URL", "nonsense", "CATALOG_URL must look like https?://.+, not 'nonsense'."),
        ("ADMIN_PASSWORD", "short", "ADMIN_PASSWORD must have 8 to 128 characters."),
        ("ADMIN_PASSWORD", "x" * 129, "ADMIN_PASSWORD must have 8 to 128 characters."),
        (
            "PRODUCT_CACHE_TTL_SECONDS",
            "0",
            "PRODUCT_CACHE_TTL_SECONDS must be a whole number from 1 to 86400, not '0'.",
        ),
        (
            "CATALOG_POLL_MINUTES",
            "4.5",
            "CATALOG_POLL_MINUTES must be 2, 3, 4, 5, 6, 10, 15, 20, 30 or 60, not '4.5'.",
        ),
        ("ACCESS_TOKEN_KEYS", "abc", "ACCESS_TOKEN_KEYS must be a JSON object of key id to secret."),
        ("ACCESS_TOKEN_KEYS", "{}", "ACCESS_TOKEN_KEYS must be a JSON object of key id to secret."),
        ("ACCESS_TOKEN_KEYS", '{"a": 1}', "ACCESS_TOKEN_KEYS must be a JSON object of key id to secret."),
        (
            "ACCESS_TOKEN_KEYS",
            '{"a": "short"}',
            "ACCESS_TOKEN_KEYS: the secret of 'a' is shorter than 32 bytes.",
        ),
    ],
)
def test_a_value_that_is_not_valid_is_reported_in_one_line_that_names_the_variable(
    variable: str, value: str, sentence: str
) -> None:
    with pytest.raises(ServiceFailed) as refusal:
        settings.check({variable: value})
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    "url",
    [
        "postgres//favorites:secret@127.0.0.1:5432/favorites",
        "postgresql:/favorites:secret@127.0.0.1:5432/favorites",
        "postgresql://favorites:secret@127.0.0.1:port/favorites",
        "postgresql://favorites:secret%@127.0.0.1:5432/favorites",
        "postgresql://favorites:secret/@127.0.0.1:5432/favorites",
        "postgresql://favorites:secret@127.0.0.1:5432/favorites %zz",
        "favorites:secret@127.0.0.1",
        "host=127.0.0.1 password=secret",
        "redis://:secret@127.0.0.1:port/0",
    ],
)
@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
def test_an_address_with_a_typo_is_refused_and_not_shown(variable: str, url: str) -> None:
    with pytest.raises(ServiceFailed, match=rf"^{variable} must look like ") as refused:
        settings.check({variable: url})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("DATABASE_URL", "postgresql://favorites:a%40b@db.example.com:5432/favorites?sslmode=require"),
        ("DATABASE_URL", "postgres://one:1,two:2/favorites"),
        ("DATABASE_URL", "postgresql://user@[::1]/x"),
        ("REDIS_URL", "rediss://user:secret@cache.example.com:6379/0"),
        ("REDIS_URL", "redis://localhost"),
    ],
)
def test_good_addresses_pass(variable: str, url: str) -> None:
    settings.check({variable: url})


def test_good_values_pass() -> None:
    settings.check(
        {
            "LOG_LEVEL": "DEBUG",
            "CATALOG_URL": "https://catalog.example.com/api",
            "ADMIN_PASSWORD": "vu7-qe2k",
            "PRODUCT_CACHE_TTL_SECONDS": "86400",
            "ACCESS_TOKEN_KEYS": json.dumps({"a": "k" * 32, "b": "l" * 40}),
        }
    )
    settings.check({})


def test_settings_become_parameters_of_the_template_and_variables_of_the_functions() -> None:
    given = settings.settings_from(
        {"DATABASE_URL": "x", "CATALOG_POLL_MINUTES": "5", "REDIS_URL": "", "PATH": "/", "STAGE": "mine"}
    )
    assert settings.parameters_of(given) == {"KeepHot": "true", "CatalogPollMinutes": "5"}
    assert settings.variables_of(given) == {"DATABASE_URL": "x"}


def test_every_parameter_that_the_shell_may_set_is_one_of_the_template() -> None:
    assert set(settings.PARAMETERS) < declared_parameters(settings.TEMPLATE).keys()


@pytest.mark.parametrize("value", ["abc", "-1", "65536", "3000.5", "", "٣"])
def test_a_port_that_is_none_is_told(value: str) -> None:
    with pytest.raises(ServiceFailed, match=r"^PORT must be a whole number from 0 to 65535, not "):
        settings.port(value)


def test_ports() -> None:
    assert [settings.port(value) for value in ("0", "3000", "65535")] == [0, 3000, 65535]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_a_number_that_is_none_is_told(value: str) -> None:
    with pytest.raises(ServiceFailed, match=r"^LOCAL_CONCURRENCY must be a whole number from 1 on, not "):
        settings.whole_number({"LOCAL_CONCURRENCY": value}, "LOCAL_CONCURRENCY", 4)


@pytest.mark.parametrize(("given", "number"), [({}, 30), ({"SECONDS": ""}, 30), ({"SECONDS": "5"}, 5)])
def test_a_number_has_a_default(given: dict[str, str], number: int) -> None:
    assert settings.whole_number(given, "SECONDS", 30) == number


@pytest.mark.parametrize(
    ("variable", "value"), [("ADMIN_EMAIL", "x"), ("ADMIN_EMAIL", "x@y"), ("ADMIN_PASSWORD", "password123")]
)
def test_an_admin_whom_the_migrations_would_refuse_is_refused_before(variable: str, value: str) -> None:
    with pytest.raises(ServiceFailed, match=rf"^{variable}: [^\n]+$"):
        settings.check({variable: value})

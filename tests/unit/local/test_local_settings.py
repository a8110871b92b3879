"""Settings from the shell: a value that is not valid is reported before anything starts, in one line."""

import json
from functools import cache

import pytest

from local import settings
from local.aws.template import declared_parameters
from local.servers.services import ServiceFailed

declared = cache(declared_parameters)  # reading the template takes half a second


@pytest.fixture(autouse=True)
def _template_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "declared_parameters", declared)


BAD_ADDRESSES = [
    "postgres//favorites:hunter2@127.0.0.1:5432/favorites",
    "postgresql:/favorites:hunter2@127.0.0.1:5432/favorites",
    "postgresql://favorites:hunter2@127.0.0.1:port/favorites",
    "postgresql://favorites:hunter2%@127.0.0.1:5432/favorites",
    "postgresql://favorites:hunter2/@127.0.0.1:5432/favorites",
    "postgresql://favorites:hunter2@127.0.0.1:5432/favorites %zz",
    "favorites:hunter2@127.0.0.1",
    "host=127.0.0.1 password=hunter2",
    "redis://:hunter2@127.0.0.1:port/0",
]
BAD = {
    "LOG_LEVEL": ["verbose"],
    "ALLOW_MASS_REMOVAL": ["yes"],
    "CATALOG_URL": ["nonsense"],
    "ADMIN_EMAIL": ["x", "x@y"],
    "ADMIN_PASSWORD": ["short", "x" * 129, "password123"],
    "PRODUCT_CACHE_TTL_SECONDS": ["0"],
    "CATALOG_POLL_MINUTES": ["4.5"],
    "ACCESS_TOKEN_KEYS": ["hunter2", "{}", '{"a": 1}', '{"a": "hunter2"}'],
    "DATABASE_URL": BAD_ADDRESSES,
    "REDIS_URL": BAD_ADDRESSES,
}


@pytest.mark.parametrize(
    ("variable", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_bad_value_is_one_line_that_names_the_variable_and_shows_no_secret(
    variable: str, value: str
) -> None:
    with pytest.raises(ServiceFailed, match=rf"^{variable}:? [^\n]+$") as refused:
        settings.check({variable: value})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"LOG_LEVEL": "DEBUG", "CATALOG_URL": "https://catalog.example.com/api"},
        {"ADMIN_PASSWORD": "vu7-qe2k", "PRODUCT_CACHE_TTL_SECONDS": "86400"},
        {"ACCESS_TOKEN_KEYS": json.dumps({"a": "k" * 32, "b": "l" * 40})},
        {"DATABASE_URL": "postgresql://favorites:a%40b@db.example.com:5432/favorites?sslmode=require"},
        {"DATABASE_URL": "postgres://one:1,two:2/favorites"},
        {"DATABASE_URL": "postgresql://user@[::1]/x"},
        {"REDIS_URL": "rediss://user:secret@cache.example.com:6379/0"},
        {"REDIS_URL": "redis://localhost"},
    ],
)
def test_good_values_pass(good: dict[str, str]) -> None:
    settings.check(good)


def test_settings_become_parameters_of_the_template_and_variables_of_the_functions() -> None:
    given = settings.settings_from(
        {"DATABASE_URL": "x", "CATALOG_POLL_MINUTES": "5", "REDIS_URL": "", "PATH": "/", "STAGE": "mine"}
    )
    assert settings.parameters_of(given) == {"KeepHot": "true", "CatalogPollMinutes": "5"}
    assert settings.variables_of(given) == {"DATABASE_URL": "x"}
    assert set(settings.PARAMETERS) < declared(settings.TEMPLATE).keys()


def test_a_port_is_a_whole_number_from_0_to_65535() -> None:
    assert [settings.port(value) for value in ("0", "3000", "65535")] == [0, 3000, 65535]
    for value in ("abc", "-1", "65536", "3000.5", "", "٣"):
        with pytest.raises(ServiceFailed, match=r"^PORT "):
            settings.port(value)


def test_a_number_is_positive_and_has_a_default() -> None:
    assert [settings.whole_number(given, "N", 30) for given in ({}, {"N": ""}, {"N": "5"})] == [30, 30, 5]
    for value in ("0", "-1", "1.5", "many"):
        with pytest.raises(ServiceFailed, match=r"^N "):
            settings.whole_number({"N": value}, "N", 4)

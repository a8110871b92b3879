"""Secrets through the extension, of which there is a stand-in here on a real port."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from local.servers.http_server import HttpServer
from local.servers.postgres import Postgres
from shared.accounts import access_tokens
from shared.errors import DatabaseUnavailable, SecretUnavailable
from shared.platform import database, secrets_manager, settings
from tests.calls import caller

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AccessTokenKeys/x-a1b2c3"
KEYS = {"first": "f" * 64, "second": "s" * 64}
Answer = tuple[int, bytes]


class Extension:
    """What AWS's extension says: the secrets it knows, to whoever shows the session token."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.failures: list[Answer] = []
        self.asked = 0
        self.cut_off = 0  # answers that end before they should
        self.server = HttpServer(self._handler)

    def _handler(self, *arguments: Any) -> BaseHTTPRequestHandler:
        extension = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                extension.asked += 1
                status, body = extension.answer(self.path, self.headers["X-Aws-Parameters-Secrets-Token"])
                self.send_response(status)
                if extension.cut_off:
                    extension.cut_off -= 1
                    self.send_header("Content-Length", str(len(body) + 10))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler(*arguments)

    def answer(self, path: str, token: str | None) -> Answer:
        if self.failures:
            return self.failures.pop(0)
        if token != "the session token":
            return 401, b"unauthorized"
        address = urlsplit(path)
        assert address.path == "/secretsmanager/get"
        (arn,) = parse_qs(address.query)["secretId"]
        if arn not in self.secrets:
            return 400, b"an unexpected error occurred while executing request"
        return 200, json.dumps({"ARN": arn, "SecretString": self.secrets[arn]}).encode()


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Iterator[Extension]:
    extension = Extension()
    extension.server.start()
    monkeypatch.setattr(secrets_manager, "PORT", extension.server.port)
    monkeypatch.setattr(secrets_manager, "PAUSE", 0)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the session token")
    secrets_manager.forget()
    yield extension
    secrets_manager.forget()
    extension.server.stop()


def test_modules_to_preload_are_those_of_reading_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_CREDENTIALS", "ServiceCredentials")  # as SAM CLI has it on this machine
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", "{}")
    assert secrets_manager.modules() == ()
    monkeypatch.setenv("DATABASE_CREDENTIALS", ARN)
    assert secrets_manager.modules() == ("http.client",)


def test_extension_that_is_not_ready_yet_is_asked_again(extension: Extension) -> None:
    extension.secrets[ARN] = "late"
    extension.failures = [(400, b"not ready to serve traffic, please wait")] * 2
    assert secrets_manager.read(ARN) == "late"
    assert extension.asked == 3


def test_secret_that_cannot_be_read_is_an_error_that_names_it(
    extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SecretUnavailable, match=r"AccessTokenKeys/x-a1b2c3 could not be read: 400 an unexp"):
        secrets_manager.read(ARN)
    assert extension.asked == secrets_manager.ATTEMPTS
    extension.secrets[ARN] = "x"
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    with pytest.raises(SecretUnavailable, match="401"):
        secrets_manager.read(ARN)
    extension.server.stop()
    with pytest.raises(SecretUnavailable, match="refused"):
        secrets_manager.read(ARN)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b"{}", b'{"SecretString": null}', b'{"SecretString": ""}'],
)
def test_invalid_answer_is_a_secret_that_cannot_be_read_and_known_keys_stay_good(
    extension: Extension, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    extension.failures = [(200, body)] * secrets_manager.ATTEMPTS
    with pytest.raises(SecretUnavailable, match="x-a1b2c3 could not be read"):
        secrets_manager.read(ARN)
    # And good tokens stay good by the keys that are known.
    extension.secrets[ARN] = json.dumps(KEYS)
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", ARN)
    token = access_tokens.issue(caller())
    monkeypatch.setattr(secrets_manager, "KEPT", -1)
    extension.failures = [(200, body)] * secrets_manager.ATTEMPTS
    assert access_tokens.verify(token).role == "client"


def test_cut_off_answer_is_asked_for_again(extension: Extension) -> None:
    extension.secrets[ARN] = "x"
    extension.cut_off = 2
    assert secrets_manager.read(ARN) == "x"
    extension.cut_off = secrets_manager.ATTEMPTS
    with pytest.raises(SecretUnavailable, match="cut off"):
        secrets_manager.read(ARN)


def test_token_is_not_refused_because_the_keys_could_not_be_read(
    extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps(KEYS))
    token = access_tokens.issue(caller())
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", ARN)
    with pytest.raises(SecretUnavailable):
        access_tokens.verify(token)
    assert extension.asked == secrets_manager.ATTEMPTS


def test_keys_of_tokens_are_kept_for_a_while_and_longer_where_they_cannot_be_read_anew(
    extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension.secrets[ARN] = json.dumps(KEYS)
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", ARN)
    assert [settings.access_token_keys() for _ in range(5)] == [KEYS] * 5
    assert extension.asked == 1
    monkeypatch.setattr(secrets_manager, "KEPT", -1)
    second = {"second": KEYS["second"]}
    extension.secrets[ARN] = json.dumps(second)
    assert settings.access_token_keys() == second
    extension.secrets.clear()
    assert settings.access_token_keys() == second
    secrets_manager.forget()
    with pytest.raises(SecretUnavailable):
        settings.access_token_keys()


def test_first_admins_password_may_be_a_secret(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    extension.secrets[ARN] = "a generated password"
    monkeypatch.setenv("ADMIN_EMAIL", "admin@example.com")
    monkeypatch.setenv("ADMIN_PASSWORD", ARN)
    assert settings.first_admin() == ("admin@example.com", "a generated password")


# ── The database's password ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def guarded(
    extension: Extension, environment: pytest.MonkeyPatch, migrated_postgres: Postgres
) -> dict[str, str]:
    """An address without a password, and the secret with it as RDS writes it."""
    parts = urlsplit(migrated_postgres.url)
    assert parts.username
    assert parts.password
    credentials = {"username": parts.username, "password": parts.password}
    extension.secrets[ARN] = json.dumps(credentials)
    environment.setenv("DATABASE_URL", f"postgresql://{parts.hostname}:{parts.port}{parts.path}")
    environment.setenv("DATABASE_CREDENTIALS", ARN)
    return credentials


def test_address_without_a_password_gets_it_from_the_secret(guarded: dict[str, str]) -> None:
    row = database.connection().execute("SELECT current_user AS who").fetchone()
    assert row == {"who": guarded["username"]}


def test_each_connection_reads_the_password_anew(extension: Extension, guarded: dict[str, str]) -> None:
    extension.secrets[ARN] = json.dumps(guarded | {"password": "of last week"})
    with pytest.raises(DatabaseUnavailable):
        database.connection()
    extension.secrets[ARN] = json.dumps(guarded)
    assert isinstance(database.connection(), psycopg.Connection)


def test_address_with_a_password_reads_no_secret(
    extension: Extension,
    guarded: dict[str, str],
    environment: pytest.MonkeyPatch,
    migrated_postgres: Postgres,
) -> None:
    assert guarded
    environment.setenv("DATABASE_URL", migrated_postgres.url)
    assert not database.connection().closed
    assert extension.asked == 0


def test_database_is_unavailable_while_its_secret_cannot_be_read(
    extension: Extension, guarded: dict[str, str]
) -> None:
    assert guarded
    extension.secrets.clear()
    with pytest.raises(DatabaseUnavailable) as refusal:
        database.connection()
    assert ARN not in str(refusal.value.detail)

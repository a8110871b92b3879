import pytest

from shared.accounts import passwords
from tests.calls import ANA, call
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_LOOK_UP = "SELECT client_id, role, password_hash FROM clients"
_CONFIRM = "AND password_hash = %(verified)s"
_KEEP_TOKEN = "INSERT INTO sessions"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def password_hash() -> str:
    """The hash of Ana's password."""
    return passwords.hash_password(PASSWORD)


@pytest.fixture
def ana(backends: Backends, password_hash: str) -> Backends:
    """The backends, with Ana in the database."""
    found = {"client_id": ANA, "role": "client", "password_hash": password_hash}
    backends.postgres.on(_LOOK_UP, [found])
    backends.postgres.on(
        _CONFIRM, [{"client_id": ANA, "role": "client", "generation": 0, "authenticated_at": 1}]
    )
    backends.postgres.on(_KEEP_TOKEN, 1)
    return backends


def test_email_and_password_give_tokens_that_nobody_may_keep(ana: Backends) -> None:
    answer = call("login")
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 900
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(ana.postgres.asked_for(_KEEP_TOKEN)) == 1


def test_the_email_does_not_regard_case(ana: Backends) -> None:
    body = {"email": " ANA@Example.COM", "password": PASSWORD}
    assert call("login", body=body).status == 200
    assert ana.postgres.asked_for(_LOOK_UP) == [{"email_key": "ana@example.com"}]


def test_a_wrong_password_and_an_unknown_email_get_the_same_answer(ana: Backends) -> None:
    wrong = call("login", body={"email": "ana@example.com", "password": "a guess"})
    ana.postgres.on(_LOOK_UP, [])
    unknown = call("login", body={"email": "ana@example.com", "password": "a guess"})
    assert wrong.status == 401
    assert wrong.problem == "invalid-credentials"
    assert wrong.headers["WWW-Authenticate"] == "Bearer"
    assert wrong == unknown
    assert ana.postgres.asked_for(_KEEP_TOKEN) == []


def test_an_unknown_email_costs_the_same_work_as_a_wrong_password(
    ana: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_on: list[str] = []

    class CountingHasher:
        def verify(self, password_hash: str, password: str) -> bool:  # noqa: ARG002
            worked_on.append(password_hash.rpartition("$")[0].rpartition("$")[0])
            return True  # even a match with the stand-in is no log-in

    monkeypatch.setattr(passwords, "_hasher", CountingHasher)
    ana.postgres.on(_LOOK_UP, [])
    assert call("login").status == 401
    assert worked_on == ["$argon2id$v=19$m=19456,t=2,p=1"]


def test_a_password_is_good_as_it_is_typed(ana: Backends) -> None:
    for password in (f" {PASSWORD}", PASSWORD.upper()):
        assert call("login", body={"email": "ana@example.com", "password": password}).status == 401
    assert ana.postgres.asked_for(_KEEP_TOKEN) == []


def test_a_failure_after_too_many_is_429_with_the_seconds_to_wait(ana: Backends) -> None:
    ana.valkey.wait_after_this_log_in = 8
    answer = call("login", body={"email": "ana@example.com", "password": "a guess"})
    assert answer.status == 429
    assert answer.problem == "too-many-attempts"
    assert answer.headers["Retry-After"] == "8"


def test_who_has_to_wait_is_not_heard_at_all(ana: Backends) -> None:
    ana.valkey.wait_after_this_log_in = -1 - 900
    answer = call("login")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "900"
    assert ana.postgres.asked == []


def test_the_right_password_after_failures_still_works_and_clears_the_count(ana: Backends) -> None:
    ana.valkey.wait_after_this_log_in = 2
    assert call("login").status == 200
    assert ana.valkey.commands == ["EVAL", "EVAL"]


def test_the_email_does_not_show_in_the_keys_of_the_cache(ana: Backends) -> None:
    keys: list[str] = []
    ana.valkey.eval = lambda _script, _count, key, *_: keys.append(key) or 0  # type: ignore[method-assign, func-returns-value]
    call("login")
    call("login", body={"email": "ANA@example.com", "password": PASSWORD})
    assert len(set(keys)) == 1  # the same account, however it is written
    assert "ana" not in keys[0]


def test_log_ins_go_on_while_the_cache_is_down(ana: Backends) -> None:
    ana.valkey.is_down = True
    assert call("login").status == 200
    assert call("login", body={"email": "ana@example.com", "password": "a guess"}).status == 401


def test_a_password_that_was_changed_meanwhile_gives_no_tokens(ana: Backends) -> None:
    ana.postgres.on(_CONFIRM, [])
    assert call("login").problem == "invalid-credentials"
    assert ana.postgres.asked_for(_KEEP_TOKEN) == []


def test_an_attempt_that_the_database_did_not_hear_is_not_counted(ana: Backends) -> None:
    ana.postgres.is_down = True
    answer = call("login")
    assert answer.status == 503
    assert ana.valkey.commands == ["EVAL", "EVAL"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["body.email", "body.password"]),
        ({"email": "ana@example.com"}, ["body.password"]),
        ({"email": None, "password": PASSWORD}, ["body.email"]),
        ({"email": "ana@example.com", "password": None}, ["body.password"]),
        ({"email": "ana@example.com", "password": ""}, ["body.password"]),
        ({"email": "ana@example.com", "password": "x" * 129}, ["body.password"]),
        ({"email": "a" * 255, "password": PASSWORD}, ["body.email"]),
        ({"email": "ana\0@example.com", "password": PASSWORD}, ["body.email"]),
        ({"email": "\ud800", "password": PASSWORD}, ["body.email"]),
        ({"email": "ana@example.com", "password": "\ud800"}, ["body.password"]),
        ({"email": ["ana@example.com"], "password": PASSWORD}, ["body.email"]),
        ({"email": "ana@example.com", "password": PASSWORD, "remember": True}, ["body.remember"]),
    ],
)
def test_bad_input_is_422_and_named(backends: Backends, body: object, wrong: list[str]) -> None:
    answer = call("login", body=body)
    assert answer.status == 422
    assert answer.wrong == wrong
    assert backends.postgres.asked == []
    assert backends.valkey.commands == []

"""Access tokens; what a handler refuses is in tests/unit/routes/test_http.py."""

import json
import time

import jwt
import pytest

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.errors import InvalidToken
from shared.platform.settings import MissingSetting
from tests.calls import ANA, caller
from tests.unit import fakes
from tests.unit.fakes import RETIRED_KEY, SIGNING_KEY
from tests.unit.properties import given, st


@pytest.fixture(autouse=True, scope="module")
def _keys() -> object:
    """One key that signs, and an older one that only verifies."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"new": SIGNING_KEY, "old": RETIRED_KEY}))
        yield


def signed(**changes: object) -> str:
    """A token like ours with other claims."""
    claims = json.dumps(fakes.claims() | changes).encode()
    return jwt.api_jws.encode(claims, SIGNING_KEY, headers={"kid": "new", "typ": "at+jwt"})


@pytest.mark.parametrize("role", ["client", "admin"])
def test_a_token_carries_the_caller_it_was_issued_to(role: str) -> None:
    caller = Caller(ANA, role, token_generation=3, authenticated_at=1_795_435_200)
    assert access_tokens.verify(access_tokens.issue(caller)) == caller
    assert caller.is_admin == (role == "admin")


@pytest.mark.parametrize("claim", ["token_generation", "auth_time"])
def test_a_generation_or_time_that_is_no_whole_number_is_refused(claim: str) -> None:
    assert access_tokens.verify(signed(**{claim: 2**63 - 1})).client_id == ANA
    for value in (-1, 2**63, 1.0, "1", True, None, [1], 1e300):
        with pytest.raises(InvalidToken):
            access_tokens.verify(signed(**{claim: value}))


def test_a_token_is_a_jwt_of_its_own_type_good_for_15_minutes() -> None:
    tokens = [access_tokens.issue(caller()) for _ in range(2)]
    assert jwt.get_unverified_header(tokens[0]) == {"alg": "HS256", "kid": "new", "typ": "at+jwt"}
    one, other = (
        jwt.decode(token, SIGNING_KEY, algorithms=["HS256"], audience="favorites-api") for token in tokens
    )
    assert one["exp"] - one["iat"] == 15 * 60
    assert abs(one["iat"] - time.time()) < 60
    assert one["iss"] == "favorites-service"
    assert one["jti"] != other["jti"]
    assert one.keys() == fakes.claims().keys()


def test_a_token_outlives_its_key_only_while_the_key_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    token = access_tokens.issue(caller())
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"newer": "n" * 32, "new": SIGNING_KEY}))
    assert access_tokens.verify(token).client_id == ANA
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"newer": "n" * 32}))
    with pytest.raises(InvalidToken):
        access_tokens.verify(token)


def test_a_token_that_was_good_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token = access_tokens.issue(caller())
    assert access_tokens.verify(token).client_id == ANA
    later = time.time() + access_tokens.LIFETIME + 1
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(InvalidToken, match="expired"):
        access_tokens.verify(token)


def test_a_token_of_a_host_whose_clock_is_a_little_ahead_is_taken() -> None:
    now = int(time.time())
    assert access_tokens.verify(signed(iat=now + 4)).client_id == ANA
    with pytest.raises(InvalidToken):
        access_tokens.verify(signed(iat=now + 60))


def test_the_refusal_of_a_forged_token_does_not_tell_the_reason() -> None:
    header, payload, _ = access_tokens.issue(caller()).split(".")
    with pytest.raises(InvalidToken) as refusal:
        access_tokens.verify(f"{header}.{payload}.AAAA")
    assert "signature" not in refusal.value.detail.lower()


base64url = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(token=st.text() | st.lists(base64url, max_size=4).map(".".join))
def test_any_text_is_refused_and_nothing_worse(token: str) -> None:
    with pytest.raises(InvalidToken):
        access_tokens.verify(token)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(claim=st.sampled_from(["iss", "aud", "sub", "role", "iat", "exp", "jti"]), value=json_values)
def test_a_signed_claim_of_another_type_is_refused_or_harmless(claim: str, value: object) -> None:
    try:
        found = access_tokens.verify(signed(**{claim: value}))
    except InvalidToken:
        return
    assert found.client_id == ANA
    assert not found.is_admin


def test_without_keys_nothing_is_issued_or_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    token = access_tokens.issue(caller())
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
    with pytest.raises(MissingSetting):
        access_tokens.issue(caller())
    with pytest.raises(MissingSetting):
        access_tokens.verify(token)

import json
import time

import jwt
import pytest

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.errors import InvalidToken
from shared.platform.settings import MissingSetting
from tests import calls
from tests.calls import ANA
from tests.unit import fakes
from tests.unit.fakes import RETIRED_KEY, SIGNING_KEY
from tests.unit.properties import given, st


@pytest.fixture(autouse=True, scope="module")
def _keys() -> object:
    """One key that signs, and an older one that only verifies."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"new": SIGNING_KEY, "old": RETIRED_KEY}))
        yield


@pytest.mark.parametrize("role", ["client", "admin"])
def test_a_token_says_who_it_was_issued_to(role: str) -> None:
    caller = Caller(ANA, role, token_generation=3, authenticated_at=1_795_435_200)
    assert access_tokens.verify(access_tokens.issue(caller)) == caller
    assert caller.is_admin == (role == "admin")


@pytest.mark.parametrize("claim", ["token_generation", "auth_time"])
@pytest.mark.parametrize("value", [-1, 2**63, 1.0, "1", True, None, [], 1e300])
def test_a_generation_or_time_that_is_no_whole_number_is_refused(claim: str, value: object) -> None:
    claims = jwt.decode(access_tokens.issue(calls.caller()), options={"verify_signature": False})
    header = {"kid": "new", "typ": "at+jwt"}
    token = jwt.encode({**claims, claim: value}, SIGNING_KEY, algorithm="HS256", headers=header)
    with pytest.raises(InvalidToken):
        access_tokens.verify(token)


def test_a_token_is_a_jwt_of_its_own_type_signed_with_the_first_key() -> None:
    token = access_tokens.issue(calls.caller())
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": "new", "typ": "at+jwt"}
    assert jwt.decode(token, SIGNING_KEY, algorithms=["HS256"], audience="favorites-api")


def test_a_token_is_good_for_15_minutes_from_now() -> None:
    before = int(time.time())
    claims = jwt.decode(access_tokens.issue(calls.caller()), options={"verify_signature": False})
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] == 15 * 60 == access_tokens.LIFETIME
    assert claims["iss"] == "favorites-service"
    assert claims["aud"] == "favorites-api"


def test_each_token_has_an_id_of_its_own() -> None:
    tokens = [access_tokens.issue(calls.caller()) for _ in range(2)]
    first, second = (jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens)
    assert first != second


def test_a_token_outlives_its_key_only_while_the_key_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    token = access_tokens.issue(calls.caller())
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"newer": "n" * 32, "new": SIGNING_KEY}))
    assert access_tokens.verify(token).client_id == ANA
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"newer": "n" * 32}))
    with pytest.raises(InvalidToken):
        access_tokens.verify(token)


def test_an_expired_token_says_so() -> None:
    now = int(time.time())
    claims = jwt.decode(access_tokens.issue(calls.caller()), options={"verify_signature": False})
    old = jwt.encode(
        claims | {"iat": now - 901, "exp": now - 1}, SIGNING_KEY, headers={"kid": "new", "typ": "at+jwt"}
    )
    with pytest.raises(InvalidToken, match="expired"):
        access_tokens.verify(old)


@pytest.mark.parametrize(("ahead", "is_taken"), [(4, True), (60, False)])
def test_a_token_of_a_host_whose_clock_is_a_little_ahead_is_taken(ahead: int, is_taken: bool) -> None:
    claims = fakes.claims() | {"iat": int(time.time()) + ahead}
    token = jwt.encode(claims, SIGNING_KEY, headers={"kid": "new", "typ": "at+jwt"})
    if is_taken:
        assert access_tokens.verify(token).client_id == ANA
    else:
        with pytest.raises(InvalidToken):
            access_tokens.verify(token)


def test_why_a_forged_token_was_refused_is_not_told() -> None:
    header, payload, _ = access_tokens.issue(calls.caller()).split(".")
    with pytest.raises(InvalidToken) as refusal:
        access_tokens.verify(f"{header}.{payload}.AAAA")
    assert "signature" not in refusal.value.detail.lower()


base64url = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(token=st.text() | st.lists(base64url, max_size=4).map(".".join))
def test_any_text_is_refused_and_nothing_worse(token: str) -> None:
    with pytest.raises(InvalidToken):
        access_tokens.verify(token)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    claim=st.sampled_from(["iss", "aud", "sub", "role", "iat", "exp", "jti"]),
    value=json_values.filter(lambda value: not isinstance(value, str)),
)
def test_a_signed_claim_of_another_type_is_refused_or_harmless(claim: str, value: object) -> None:
    signed = jwt.api_jws.encode(
        json.dumps(fakes.claims() | {claim: value}).encode(),
        SIGNING_KEY,
        headers={"kid": "new", "typ": "at+jwt"},
    )
    try:
        caller = access_tokens.verify(signed)
    except InvalidToken:
        return
    assert caller.client_id == ANA
    assert not caller.is_admin


def test_without_keys_nothing_is_issued_or_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    token = access_tokens.issue(calls.caller())
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
    with pytest.raises(MissingSetting):
        access_tokens.issue(calls.caller())
    with pytest.raises(MissingSetting):
        access_tokens.verify(token)

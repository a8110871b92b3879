"""Refresh tokens: rotation that notices a copied one, and how long each is good."""

import json
import os
import time
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from functions.publish_events.handler import lambda_handler as publish_events
from shared.accounts import access_tokens
from shared.accounts.models import Tokens
from shared.accounts.sessions import ends, expired, rotation, starts
from shared.errors import InvalidRefreshToken
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD
from tests.integration.clients.test_sessions import EMAIL, is_alive, log_in

pytestmark = pytest.mark.usefixtures("environment")


def test_refreshed_access_tokens_say_when_the_password_was_given(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    tokens = log_in()
    at = access_tokens.verify(tokens.access_token).authenticated_at
    assert at == pytest.approx(time.time(), abs=5)
    db.execute("UPDATE sessions SET logged_in_at = logged_in_at - interval '1 day'")
    refreshed = rotation.refresh(tokens.refresh_token)
    assert access_tokens.verify(refreshed.access_token).authenticated_at == at - 86_400


def test_a_refreshed_access_token_has_the_role_of_now(db: psycopg.Connection) -> None:
    ana = accounts.register(email=EMAIL)
    tokens = log_in()
    accounts.set_role(db, ana.client_id, "admin")
    assert access_tokens.verify(rotation.refresh(tokens.refresh_token).access_token).is_admin


def let_the_grace_pass(db: psycopg.Connection) -> None:
    db.execute("UPDATE sessions SET rotated_at = rotated_at - interval '31 seconds'")


def test_the_token_before_the_current_one_is_answered_for_half_a_minute(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    lost = rotation.refresh(first.refresh_token)
    db.execute("UPDATE sessions SET rotated_at = rotated_at - interval '25 seconds'")
    again = rotation.refresh(first.refresh_token)
    assert again.refresh_token == lost.refresh_token
    assert access_tokens.verify(again.access_token) == access_tokens.verify(lost.access_token)
    assert is_alive(again)


def test_a_token_that_comes_back_after_the_grace_revokes_its_session(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    second = rotation.refresh(first.refresh_token)
    let_the_grace_pass(db)
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(first.refresh_token)
    assert not is_alive(second)
    assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


def test_answering_again_does_not_lengthen_the_grace(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    rotation.refresh(first.refresh_token)
    for _ in range(3):
        db.execute("UPDATE sessions SET rotated_at = rotated_at - interval '9 seconds'")
        rotation.refresh(first.refresh_token)
    db.execute("UPDATE sessions SET rotated_at = rotated_at - interval '9 seconds'")
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(first.refresh_token)


@pytest.mark.parametrize("generations_back", [2, 3, 10])
def test_an_older_token_revokes_its_session_at_once(generations_back: int) -> None:
    accounts.register(email=EMAIL)
    family = [log_in()]
    for _ in range(generations_back):
        family.append(rotation.refresh(family[-1].refresh_token))
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(family[0].refresh_token)
    assert not is_alive(family[-1])


def test_a_made_up_token_cannot_end_anybodys_session() -> None:
    accounts.register(email=EMAIL)
    tokens = log_in()
    for made_up in ("A" * 65, "A" * 22 + tokens.refresh_token[22:], tokens.refresh_token[22:]):
        with pytest.raises(InvalidRefreshToken):
            rotation.refresh(made_up)
    assert is_alive(tokens)


def test_two_tabs_that_refresh_at_once_go_on_with_one_token(db: psycopg.Connection) -> None:
    """Each of them, in its own time, and no tab is taken for a thief at the next refresh."""
    accounts.register(email=EMAIL)
    shared = log_in().refresh_token
    one, other = rotation.refresh(shared), rotation.refresh(shared)
    for _ in range(3):
        let_the_grace_pass(db)
        one, other = rotation.refresh(one.refresh_token), rotation.refresh(other.refresh_token)
        assert one.refresh_token == other.refresh_token


def test_the_next_token_cannot_be_made_without_the_key(environment: pytest.MonkeyPatch) -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    mine = rotation.refresh(first.refresh_token)
    environment.setenv("ACCESS_TOKEN_KEYS", '{"other": "another secret that is longer than 32 bytes"}')
    with pytest.raises(InvalidRefreshToken):  # the key is gone: the answer cannot be given again,
        rotation.refresh(first.refresh_token)
    assert is_alive(mine)  # and that revokes nothing


def test_an_answer_can_be_given_again_after_the_keys_were_rotated(environment: pytest.MonkeyPatch) -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    second = rotation.refresh(first.refresh_token)
    keys = json.loads(os.environ["ACCESS_TOKEN_KEYS"])
    newer = {"newer": "another secret that is longer than 32 bytes"}
    environment.setenv("ACCESS_TOKEN_KEYS", json.dumps(newer | keys))
    assert rotation.refresh(first.refresh_token).refresh_token == second.refresh_token


def test_other_sessions_live_on_when_one_is_revoked(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    phone, laptop = log_in(), log_in()
    rotation.refresh(phone.refresh_token)
    let_the_grace_pass(db)
    assert not is_alive(phone)
    assert is_alive(laptop)


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é", "\0", "A" * 512])
def test_an_unknown_token_is_refused(token: str) -> None:
    accounts.register(email=EMAIL)
    tokens = log_in()
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(token)
    ends.log_out(token)
    assert is_alive(tokens)


def test_a_token_is_good_for_thirty_days(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    log_in()
    row = db.execute("SELECT expires_at - now() FROM sessions").fetchone()
    assert row
    assert row[0].total_seconds() == pytest.approx(30 * 24 * 3600, abs=60)


def test_an_expired_token_is_refused(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    tokens = log_in()
    db.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
    assert not is_alive(tokens)


def test_a_client_has_a_hundred_sessions_at_most_and_the_least_used_go(db: psycopg.Connection) -> None:
    ana = accounts.register(email=EMAIL)
    accounts.register(email="ben@example.com")
    others = starts.log_in("ben@example.com", PASSWORD)
    oldest, second = log_in(), log_in()
    db.execute(
        """
        INSERT INTO sessions (session_hash, client_id, token_hash, logged_in_at, expires_at)
        SELECT sha256(n::text::bytea), %s, '', now(), now() + interval '1 day'
          FROM generate_series(1, 98) AS n
        """,
        [ana.client_id],
    )
    oldest = rotation.refresh(oldest.refresh_token)
    log_in()
    counted = db.execute("SELECT count(*) FROM sessions WHERE client_id = %s", [ana.client_id])
    assert counted.fetchone() == (starts.MOST_SESSIONS,)
    assert is_alive(oldest)  # in use
    assert not is_alive(second)
    assert is_alive(others)


def test_what_has_expired_is_purged_whether_its_owner_returns_or_not(db: psycopg.Connection) -> None:
    ana = accounts.register(email=EMAIL)
    tokens = log_in()
    db.execute(
        """
        INSERT INTO sessions (session_hash, client_id, token_hash, logged_in_at, expires_at)
        SELECT sha256(n::text::bytea), %s, '', now(), now() - interval '1 second'
          FROM generate_series(1, 2500) AS n
        """,
        [ana.client_id],
    )
    assert expired.purge_expired_sessions() == 2500
    assert expired.purge_expired_sessions() == 0
    assert is_alive(tokens)


def test_the_schedule_that_sends_events_purges_too(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("EVENT_BUS_NAME", "nobody sends")
    accounts.register(email=EMAIL)
    log_in()
    db.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
    db.execute("DELETE FROM outbox")  # nothing to send: there is no bus here
    publish_events({}, None)
    assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


@pytest.mark.usefixtures("connection_per_thread")
def test_many_refreshes_of_one_token_at_once_all_get_the_same_next_one(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    token = log_in().refresh_token
    outcomes = concurrency.at_once([partial(rotation.refresh, token)] * 12)
    assert all(isinstance(outcome, Tokens) for outcome in outcomes), outcomes
    [next_token] = {outcome.refresh_token for outcome in outcomes if isinstance(outcome, Tokens)}
    assert db.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    let_the_grace_pass(db)
    assert rotation.refresh(next_token)


def test_a_session_ends_ninety_days_after_the_log_in_however_often_it_is_refreshed(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    accounts.register(email=EMAIL)
    token = log_in().refresh_token
    for days in (29, 29, 29, 2):
        db.execute(
            """
            UPDATE sessions
               SET logged_in_at = logged_in_at - make_interval(days => %(days)s),
                   rotated_at = rotated_at - make_interval(days => %(days)s),
                   expires_at = expires_at - make_interval(days => %(days)s)
            """,
            {"days": days},
        )
        token = rotation.refresh(token).refresh_token
    assert db.execute("SELECT expires_at - logged_in_at FROM sessions").fetchone() == (timedelta(days=90),)
    environment.setenv("SESSION_MAX_DAYS", "89")
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(token)

"""Refresh tokens: rotation that notices a copied one, and how long each is good."""

import json
import os
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from functions.publish_events.handler import lambda_handler as publish_events
from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Tokens
from shared.accounts.sessions import ends, expired, rotation, starts
from shared.errors import InvalidRefreshToken
from tests.integration import accounts, concurrency
from tests.integration.accounts import is_alive, log_in

pytestmark = pytest.mark.usefixtures("ana")

NEWER_KEY = {"newer": "another secret that is longer than 32 bytes"}


def let_pass(db: psycopg.Connection, seconds: int) -> None:
    """Make the last rotation so much older."""
    db.execute("UPDATE sessions SET rotated_at = rotated_at - make_interval(secs => %s)", [seconds])


# ── Rotation ──────────────────────────────────────────────────────────────────────────────────────────────


def test_previous_token_gets_the_same_answer_for_half_a_minute(db: psycopg.Connection) -> None:
    first = log_in()
    lost = rotation.refresh(first.refresh_token)
    let_pass(db, 25)
    again = rotation.refresh(first.refresh_token)
    assert again.refresh_token == lost.refresh_token
    assert access_tokens.verify(again.access_token) == access_tokens.verify(lost.access_token)
    assert is_alive(again)


def test_answering_again_does_not_lengthen_the_grace(db: psycopg.Connection) -> None:
    first = log_in()
    rotation.refresh(first.refresh_token)
    for _ in range(3):
        let_pass(db, 9)
        rotation.refresh(first.refresh_token)
    let_pass(db, 9)
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(first.refresh_token)


def test_token_that_comes_back_after_the_grace_revokes_its_own_session_only(db: psycopg.Connection) -> None:
    phone, laptop = log_in(), log_in()
    second = rotation.refresh(phone.refresh_token)
    let_pass(db, 31)
    assert not is_alive(phone)
    assert not is_alive(second)
    assert is_alive(laptop)
    assert db.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_token_before_the_previous_one_revokes_its_session_at_once() -> None:
    first = log_in()
    third = rotation.refresh(rotation.refresh(first.refresh_token).refresh_token)
    assert not is_alive(first)
    assert not is_alive(third)


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é", "\0", "A" * 512, "A" * 65, "another's {}", "{}"])
def test_made_up_token_is_refused_and_ends_no_session(token: str) -> None:
    tokens = log_in()
    made_up = token.replace("another's ", "A" * 22).format(tokens.refresh_token[22:])
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(made_up)
    ends.log_out(made_up)
    assert is_alive(tokens)


def test_two_tabs_that_refresh_in_turn_go_on_with_one_token(db: psycopg.Connection) -> None:
    shared = log_in().refresh_token
    one, other = rotation.refresh(shared), rotation.refresh(shared)
    for _ in range(3):
        let_pass(db, 31)
        one, other = rotation.refresh(one.refresh_token), rotation.refresh(other.refresh_token)
        assert one.refresh_token == other.refresh_token


@pytest.mark.usefixtures("connection_per_thread")
def test_many_refreshes_of_one_token_at_once_all_get_the_same_next_one(db: psycopg.Connection) -> None:
    token = log_in().refresh_token
    outcomes = concurrency.at_once([partial(rotation.refresh, token)] * 12)
    assert all(isinstance(outcome, Tokens) for outcome in outcomes), outcomes
    [next_token] = {outcome.refresh_token for outcome in outcomes if isinstance(outcome, Tokens)}
    assert db.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    let_pass(db, 31)
    assert rotation.refresh(next_token)


def test_answer_cannot_be_given_again_without_the_key_and_that_revokes_nothing(
    environment: pytest.MonkeyPatch,
) -> None:
    first = log_in()
    second = rotation.refresh(first.refresh_token)
    environment.setenv("ACCESS_TOKEN_KEYS", json.dumps(NEWER_KEY))
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(first.refresh_token)
    assert is_alive(second)


def test_answer_can_be_given_again_after_the_keys_were_rotated(environment: pytest.MonkeyPatch) -> None:
    first = log_in()
    second = rotation.refresh(first.refresh_token)
    keys = json.loads(os.environ["ACCESS_TOKEN_KEYS"])
    environment.setenv("ACCESS_TOKEN_KEYS", json.dumps(NEWER_KEY | keys))
    assert rotation.refresh(first.refresh_token).refresh_token == second.refresh_token


# ── How long, and how many ────────────────────────────────────────────────────────────────────────────────


def test_token_is_good_for_thirty_days(db: psycopg.Connection) -> None:
    tokens = log_in()
    left = db.execute("SELECT extract(epoch FROM expires_at - now()) FROM sessions").fetchone()
    assert left
    assert float(left[0]) == pytest.approx(30 * 24 * 3600, abs=60)
    db.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
    assert not is_alive(tokens)


def test_session_ends_ninety_days_after_the_log_in_however_often_it_is_refreshed(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
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


def test_client_has_a_hundred_sessions_at_most_and_the_least_used_go(
    ana: Caller, db: psycopg.Connection
) -> None:
    accounts.register(email="ben@example.com")
    others = log_in("ben@example.com")
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


def test_expired_sessions_are_purged_in_batches(ana: Caller, db: psycopg.Connection) -> None:
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


def test_schedule_of_the_outbox_relay_purges_expired_sessions(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("EVENT_BUS_NAME", "nobody sends")
    log_in()
    db.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
    db.execute("DELETE FROM outbox")  # nothing to send: there is no bus here
    publish_events({}, None)
    assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)

"""POST /shares"""

from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.errors import SharesFull
from shared.favorites import shares
from shared.favorites.models import NewShare, Share
from shared.favorites.shares import DEFAULT_LIFETIME, MAX_SHARES
from tests.integration import concurrency
from tests.integration.accounts import ask


def test_a_share_is_201_with_its_link(ana: Caller) -> None:
    answer = ask("create_share", ana, body={"title": " Birthday "})
    share = answer.json
    assert (answer.status, answer.headers["Location"]) == (201, share["path"])
    assert answer.headers["Cache-Control"] == "no-store"
    assert share["title"] == "Birthday"
    assert share["path"] == f"/shared-favorites/{share['token']}"
    assert len(share["token"]) == 22  # base64url of 128 bits
    assert ask("list_shares", ana).json["items"] == [share]


def test_a_share_ends_after_90_days_or_when_it_says_or_never(ana: Caller) -> None:
    default, own, endless = (
        ask("create_share", ana, body=body).json["expires_at"]
        for body in ({}, {"expires_at": "9999-12-31T23:00:00-00:30"}, {"expires_at": None})
    )
    ends_in = datetime.fromisoformat(default) - datetime.now(UTC)
    assert timedelta(minutes=-1) < ends_in - DEFAULT_LIFETIME <= timedelta(0)
    assert (own, endless) == ("9999-12-31T23:30:00.000000Z", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("title", title) for title in ("", " ", "x" * 101, "a\nb", "\u200b", "\ud800", 7)),
        *(
            ("expires_at", when)
            for when in ("2020-01-01T00:00:00Z", "2099-01-01", "9999-12-31T23:59:59-01:00", 4_102_444_800)
        ),
        ("token", "chosen-by-the-caller--"),
    ],
)
def test_a_bad_value_is_422(ana: Caller, field: str, value: object) -> None:
    assert ask("create_share", ana, body={field: value}).wrong == [f"body.{field}"]


@pytest.mark.usefixtures("connection_per_thread")
def test_a_client_has_20_live_shares_however_many_are_asked_for_at_once(
    ana: Caller, db: psycopg.Connection
) -> None:
    made = concurrency.at_once([lambda: shares.create(ana, NewShare())] * (MAX_SHARES + 5))
    assert Counter(type(each) for each in made) == {Share: MAX_SHARES, SharesFull: 5}
    refused = ask("create_share", ana, body={})
    assert (refused.status, refused.json["type"], refused.json["max"]) == (
        409,
        "/problems/shares-full",
        MAX_SHARES,
    )
    db.execute("UPDATE shares SET expires_at = now() WHERE share_id = (SELECT share_id FROM shares LIMIT 1)")
    assert len(ask("list_shares", ana).json["items"]) == MAX_SHARES - 1
    assert ask("create_share", ana, body={}).status == 201
    assert db.execute("SELECT count(*) FROM shares").fetchone() == (MAX_SHARES,)  # the ended one is deleted

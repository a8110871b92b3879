"""Alerts: each crossing of a threshold fires once, whatever happens between the change and its event."""

import threading
from collections import Counter
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.accounts.access_tokens import Caller
from shared.errors import ImpossibleAlert
from shared.favorites import alert_jobs, alerts, items
from shared.favorites.models import Alert, FavoriteUpdate
from shared.formats.etags import NO_PRECONDITIONS
from shared.platform import database, invocations
from shared.products import product_copy
from shared.products.catalog import CatalogProduct
from shared.products.product_copy import Source
from tests.integration import accounts, concurrency
from tests.integration.catalog_messages import changed_product, deliver

pytestmark = pytest.mark.usefixtures("environment")

IMAGE = "https://images.example.com/7.webp"
T = 1_795_000_000_000  # a version of today


def cost(price: float | str, version: int, currency: str | None = "BRL", product_id: str = "7") -> None:
    """Let the product cost that as of the version."""
    product = {
        "id": product_id,
        "title": f"Product {product_id}",
        "price": Decimal(str(price)),
        "description": "",
        "category": "kitchen",
        "image": IMAGE,
        "currency": currency,
    }
    product_copy.save(CatalogProduct.model_validate(product), version, Source.EVENT)


def set_alert(client: Caller, product_id: str = "7", **alert: Any) -> None:
    changes = FavoriteUpdate(alert=Alert(**alert) if alert else None)
    alerts.update(client, product_id, changes, NO_PRECONDITIONS)


def holder(product_id: str = "7") -> Caller:
    client = accounts.new_caller()
    items.add(client, product_id)
    return client


def fired(db: psycopg.Connection) -> list[dict[str, Any]]:
    """The details of all events of alerts, in their order; they are taken out of the outbox."""
    rows = db.execute(
        "WITH sent AS (DELETE FROM outbox RETURNING *) "
        "SELECT detail FROM sent WHERE detail_type = 'FavoriteAlerts' ORDER BY outbox_id"
    ).fetchall()
    return [detail for (detail,) in rows]


def recipients(db: psycopg.Connection) -> list[str]:
    return [each["client_id"] for event in fired(db) for each in event["recipients"]]


def many(db: psycopg.Connection, count: int, product_id: str = "7") -> None:
    """So many clients with an alert at 10.00, or a little below."""
    accounts.insert(db, count)
    db.execute(
        "INSERT INTO favorites (client_id, product_id, price_when_favorited) "
        "SELECT client_id, %s, 20 FROM clients WHERE name = 'Many'",
        [product_id],
    )
    db.execute(
        "INSERT INTO favorite_alerts "
        "(client_id, product_id, kind, value, threshold, currency, since_version) "
        "SELECT client_id, product_id, 'price_at_or_below', 10, 10 - (random() * 3)::integer, 'BRL', 1 "
        "FROM favorites WHERE product_id = %s",
        [product_id],
    )


# ── One alert ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_event_tells_who_and_what_and_no_more(db: psycopg.Connection) -> None:
    cost(20, T)
    ana, eva = holder(), holder()
    holder()  # who has no alert
    set_alert(ana, percent_off=25)
    set_alert(eva, price_at_or_below=9.5)
    cost("9.50", T + 1)
    assert alert_jobs.send() == alert_jobs.Sent(events=1, recipients=2)
    [event] = fired(db)
    assert event == {
        "kind": "price",
        "product": {
            "product_id": "7",
            "title": "Product 7",
            "category": "kitchen",
            "image": "https://images.example.com/7.webp",
        },
        "old_price": 20,
        "new_price": 9.5,
        "currency": "BRL",
        "recipients": [
            {"client_id": str(eva.client_id), "price_when_favorited": 20, "threshold": 9.5},
            {"client_id": str(ana.client_id), "price_when_favorited": 20, "threshold": 15},
        ],
        "version": T + 1,
    }


STEPS = st.one_of(
    st.tuples(st.just("price"), st.integers(1, 12)),
    st.tuples(st.just("currency"), st.sampled_from(["BRL", "USD"])),
    st.tuples(st.just("gone"), st.none()),
    st.tuples(st.just("alert"), st.integers(0, 11) | st.none()),
    st.tuples(st.just("send"), st.none()),
    st.tuples(st.just("a day"), st.none()),
)


class History:
    """A history of one product and one alert: the service's, and beside it what should come of it."""

    def __init__(self, db: psycopg.Connection) -> None:
        db.execute("TRUNCATE favorite_alerts, alert_jobs, outbox, favorites, products CASCADE")
        cost(10, T)
        self.db = db
        self.ana = holder()
        self.price, self.currency = 10, "BRL"
        self.changes: list[tuple[int, str, int, int]] = []  # that no run has looked at
        self.alert: tuple[int, str, int] | None = None  # after which change it was set, and its threshold
        self.fired_today = False
        self.expected = 0

    def step(self, number: int, kind: str, value: Any) -> None:
        version = T + 1 + number
        if kind == "price":
            cost(value, version, self.currency)
            self.changes.append((number, self.currency, self.price, value))
            self.price = value
        elif kind == "currency":
            cost(self.price, version, value)
            self.currency = value
        elif kind == "gone":
            product_copy.mark_removed("7", version, Source.EVENT)
        elif kind == "a day":
            self.db.execute("UPDATE favorite_alerts SET fired_at = fired_at - interval '25 hours'")
            self.fired_today = False
        elif kind == "alert":
            self.set_alert(number, value)
        else:
            self.send()

    def set_alert(self, number: int, threshold: int | None) -> None:
        if threshold is None:
            set_alert(self.ana)
            self.alert = None
        elif threshold < self.price:
            set_alert(self.ana, price_at_or_below=threshold)
            # A repetition changes nothing.
            if self.alert is None or self.alert[1:] != (self.currency, threshold):
                self.alert = (number, self.currency, threshold)
        else:
            with pytest.raises(ImpossibleAlert):
                set_alert(self.ana, price_at_or_below=threshold)

    def send(self) -> None:
        for number, currency, old, new in self.changes:
            if self.alert and self.alert[0] < number and self.alert[1] == currency:
                crosses = new <= self.alert[2] < old
                self.expected += crosses and not self.fired_today
                self.fired_today |= crosses
        self.changes = []
        alert_jobs.send()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=14))
def test_each_crossing_fires_once_and_at_most_once_a_day(
    db: psycopg.Connection, steps: list[tuple[str, Any]]
) -> None:
    history = History(db)
    for number, (kind, value) in enumerate([*steps, ("send", None)]):
        history.step(number, kind, value)
    assert recipients(db) == [str(history.ana.client_id)] * history.expected
    assert db.execute("SELECT count(*) FROM alert_jobs").fetchone() == (0,)


def test_a_product_that_is_back_fires_what_waited_for_it_and_a_price_that_it_reached(
    db: psycopg.Connection,
) -> None:
    cost(20, T)
    ana, eva = holder(), holder()
    set_alert(eva, price_at_or_below=15)
    product_copy.mark_removed("7", T + 1, Source.EVENT)
    set_alert(ana, available_again=True)
    cost(12, T + 2)
    alert_jobs.send()
    back, cheaper = fired(db)
    assert (back["kind"], [each["client_id"] for each in back["recipients"]]) == (
        "available_again",
        [str(ana.client_id)],
    )
    assert back["recipients"][0]["threshold"] is None
    assert (cheaper["kind"], [each["client_id"] for each in cheaper["recipients"]]) == (
        "price",
        [str(eva.client_id)],
    )


@pytest.mark.usefixtures("connection_per_thread")
def test_an_alert_that_is_set_while_the_price_changes_sees_the_new_one(db: psycopg.Connection) -> None:
    cost(20, T)
    ana = holder()
    results: list[object] = []

    def set_at_ten() -> None:
        try:
            set_alert(ana, price_at_or_below=10)
            results.append("set")
        except ImpossibleAlert as error:
            results.append(type(error))

    setting = threading.Thread(target=set_at_ten)
    with db.transaction():
        db.execute("UPDATE products SET price = 9")
        setting.start()
        setting.join(0.5)
        assert setting.is_alive()
    setting.join(10)
    assert results == [ImpossibleAlert]


# ── Very many ─────────────────────────────────────────────────────────────────────────────────────────────


def test_pages_have_500_recipients_and_no_client_is_in_two_or_left_out(db: psycopg.Connection) -> None:
    cost(20, T)
    many(db, 1_203)
    db.execute("DELETE FROM favorites WHERE client_id = (SELECT client_id FROM favorites LIMIT 1)")
    cost(5, T + 1)
    assert alert_jobs.send() == alert_jobs.Sent(events=3, recipients=1_202)
    events = fired(db)
    assert [len(event["recipients"]) for event in events] == [500, 500, 202]
    counted = Counter(each["client_id"] for event in events for each in event["recipients"])
    holders = db.execute("SELECT client_id::text FROM favorites").fetchall()
    assert counted == {client_id: 1 for (client_id,) in holders}
    cost(20, T + 2)
    cost(5, T + 3)
    db.execute(
        "UPDATE favorite_alerts SET fired_at = NULL WHERE ctid = (SELECT max(ctid) FROM favorite_alerts)"
    )
    with concurrency.statements() as sent:
        # The others fired less than a day ago.
        assert alert_jobs.send() == alert_jobs.Sent(events=1, recipients=1)
    pages = [text for text in sent if "looked_at" in text]
    assert len(pages) == 3  # a bounded part of them each


@pytest.mark.parametrize("statement", ["_ADVANCE", "_FINISH"])
def test_a_run_that_is_killed_in_a_page_sends_it_once(
    db: psycopg.Connection, environment: pytest.MonkeyPatch, statement: str
) -> None:
    cost(20, T)
    many(db, 600)
    cost(5, T + 1)
    with environment.context() as broken:
        broken.setattr(alert_jobs, statement, "SELECT 1 / 0")
        with pytest.raises(psycopg.Error):
            alert_jobs.send()
    database.close()
    assert alert_jobs.send().events == (2 if statement == "_ADVANCE" else 1)
    told = recipients(db)
    assert (len(told), len(set(told))) == (600, 600)


def test_a_product_with_few_alerts_does_not_wait_behind_one_with_very_many(db: psycopg.Connection) -> None:
    cost(20, T)
    many(db, 1_100)
    cost(20, T, product_id="3")
    ana = holder("3")
    set_alert(ana, "3", price_at_or_below=10)
    cost(5, T + 1)
    cost(5, T + 1, product_id="3")
    alert_jobs.send()
    assert [event["product"]["product_id"] for event in fired(db)] == ["7", "3", "7", "7"]


def test_jobs_of_products_without_alerts_are_deleted_together(db: psycopg.Connection) -> None:
    for number in range(1, 31):
        cost(20, T, product_id=str(number))
        cost(10, T + 1, product_id=str(number))
    assert db.execute("SELECT count(*) FROM alert_jobs").fetchone() == (30,)
    assert alert_jobs.send() == alert_jobs.Sent()
    assert db.execute("SELECT count(*) FROM alert_jobs").fetchone() == (0,)


# ── After a push ──────────────────────────────────────────────────────────────────────────────────────────


class Lambda:
    """Lambda's API, which notes what it shall invoke."""

    def __init__(self, *, is_up: bool = True) -> None:
        self.is_up = is_up
        self.invoked: list[str] = []

    def invoke(self, *, FunctionName: str, InvocationType: str) -> None:  # noqa: N803 — boto3's names
        assert InvocationType == "Event"
        self.invoked.append(FunctionName)
        if not self.is_up:
            raise ConnectionError("no way there")


@pytest.mark.parametrize("is_up", [True, False])
def test_a_push_that_changes_something_lets_the_alerts_be_sent_at_once(
    environment: pytest.MonkeyPatch, is_up: bool
) -> None:
    service = Lambda(is_up=is_up)
    environment.setattr(invocations, "_client", lambda: service)
    environment.setenv("SEND_ALERTS_FUNCTION", "send_alerts:live")
    event = changed_product(T, 7, price=20)
    assert deliver(event, changed_product(T, 8)) == []
    assert service.invoked == ["send_alerts:live"]
    assert deliver(event) == []  # known already
    assert service.invoked == ["send_alerts:live"]

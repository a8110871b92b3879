"""Several products in one answer, and how many calls and round trips it takes."""

import pytest
import simplejson

from local.servers.valkey import Valkey
from shared.products import by_ids, discovery, poll, product_cache, product_copy, single_flight
from shared.products.product_cache import Answer, CombinedEntry
from shared.web import product_answers
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration import concurrency
from tests.integration.conftest import cold_start

pytestmark = pytest.mark.usefixtures("environment", "patient_cache")

UNKNOWN = [str(number) for number in range(1_000, 1_100)]


@pytest.fixture(autouse=True)
def six(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Says.json([product(number) for number in range(1, 7)]))
    catalog.answer_all(Says.null())


def ids(answer: Answer) -> list[str]:
    return [item["product_id"] for item in simplejson.loads(answer.entry.body)["items"]]


def missing(answer: Answer) -> list[str]:
    found: list[str] = simplejson.loads(answer.entry.body)["missing"]
    return found


def is_complete(answer: Answer) -> bool:
    assert isinstance(answer.entry, CombinedEntry)
    return answer.entry.is_complete


def test_products_by_their_ids_come_from_the_cache_then_the_copy_then_the_catalog(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    poll.run()
    catalog.forget_calls()
    event = {"queryStringParameters": {"product_id": "5,3,1"}, "rawPath": "/products"}
    with concurrency.commands(valkey.url) as counted, concurrency.statements() as sent:
        found = product_answers.cached_page(event)
    assert found
    entry, state = found
    assert (state, ids(Answer(entry, "hit"))) == ("hit", ["5", "3", "1"])
    assert (counted, sent) == ({"get": 3}, [])
    valkey.flush()
    catalog.answer("/products/7", Says.json(product(7)))
    catalog.answer("/products/8", Says.null())
    with concurrency.statements() as sent:
        answer = by_ids.several(["5", "8", "7", "1"])
    assert ids(answer) == ["5", "7", "1"]
    assert simplejson.loads(answer.entry.body)["missing"] == ["8"]
    assert sum("= ANY" in text for text in sent) == 1
    assert catalog.calls == {"/products/7": 1, "/products/8": 1}
    assert by_ids.several(["5", "7", "1"]).state == "hit"


def test_without_valkey_and_catalog_products_by_their_ids_come_from_the_copy(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    poll.run()
    valkey.stop()
    catalog.stop()
    cold_start()
    answer = by_ids.several(["5", "404", "1"])
    assert ids(answer) == ["5", "1"]
    assert answer.state == "stale"  # nobody can say whether there is a product 404


# ── Unknown ids ───────────────────────────────────────────────────────────────────────────────────────────


def test_of_a_hundred_unknown_ids_the_catalog_is_called_for_ten_and_the_others_are_missing(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    event = {"queryStringParameters": {"product_id": ",".join(UNKNOWN)}, "rawPath": "/products"}
    with concurrency.round_trips(environment) as sent, concurrency.statements() as statements:
        assert product_answers.cached_page(event) is None
        answer = by_ids.several(UNKNOWN)
    assert (ids(answer), missing(answer)) == ([], UNKNOWN)
    assert (answer.state, is_complete(answer)) == ("stale", False)
    _, headers, _ = product_answers.answer(answer.entry, answer.state, event)
    assert headers["Cache-Control"] == "no-store"
    assert catalog.calls == {f"/products/{product_id}": 1 for product_id in UNKNOWN[: by_ids.CALLS]}
    assert by_ids.CALLS <= 10
    assert len(sent) <= 4
    assert len(statements) == 1


def test_ids_that_are_known_to_be_missing_cost_one_round_trip_and_nothing_else(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    for _ in range(len(UNKNOWN) // by_ids.CALLS):
        answer = by_ids.several(UNKNOWN)
    assert is_complete(answer)
    assert sum(catalog.calls.values()) == len(UNKNOWN)
    cold_start()
    with concurrency.round_trips(environment) as sent, concurrency.statements() as statements:
        again = by_ids.several(UNKNOWN)
    assert (again.state, missing(again)) == ("hit", UNKNOWN)
    assert (len(sent), statements) == (1, [])


def test_without_valkey_each_request_calls_the_catalog_for_the_next_ten(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    valkey.stop()
    for number in range(1, 11):
        answer = by_ids.several(UNKNOWN)
        assert sum(catalog.calls.values()) == number * by_ids.CALLS
    assert (is_complete(answer), missing(answer)) == (True, UNKNOWN)
    by_ids.several(UNKNOWN)
    assert sum(catalog.calls.values()) == len(UNKNOWN)


def test_an_id_that_was_missing_and_that_the_copy_has_now_is_there(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    assert ids(by_ids.several(["5"])) == []
    poll.run()
    assert ids(by_ids.several(["5"])) == ["5"]
    valkey.flush()
    product_cache.put("5", product_cache.MissingEntry.since(0))
    catalog.forget_calls()
    assert ids(by_ids.several(["5"])) == ["5"]
    assert catalog.calls == {}


@pytest.mark.usefixtures("connection_per_thread")
def test_many_who_ask_for_new_products_at_once_make_one_call_for_each(catalog: HostileCatalog) -> None:
    new = ["7", "8", "9"]
    for each in new:
        catalog.answer(f"/products/{each}", Says.json(product(int(each))).after(0.3))
    answers = concurrency.at_once([lambda: by_ids.several([*new, "1000"])] * 6)
    found = [answer for answer in answers if isinstance(answer, Answer)]
    assert [(ids(answer), missing(answer)) for answer in found] == [(new, ["1000"])] * 6
    assert all(is_complete(answer) for answer in found)
    assert catalog.calls == {f"/products/{each}": 1 for each in [*new, "1000"]}


def test_products_of_a_holder_that_died_are_taken_over(catalog: HostileCatalog) -> None:
    catalog.answer("/products/7", Says.json(product(7)))
    product_cache.acquire_lease("product:7", 0.3)  # and never released
    answer = by_ids.several(["7", "1000"])
    assert (ids(answer), is_complete(answer)) == (["7"], True)


def test_what_the_catalog_does_not_answer_in_time_is_missing_and_is_left_alone_for_a_while(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(discovery, "BUDGET", 0.3)
    poll.run()
    catalog.answer_all(Says.hang())
    catalog.forget_calls()
    answer = by_ids.several(["5", "7", "1"])
    assert (ids(answer), missing(answer), is_complete(answer)) == (["5", "1"], ["7"], False)
    again = by_ids.several(["5", "7", "1"])
    assert (ids(again), is_complete(again)) == (["5", "1"], False)
    assert catalog.calls == {"/products/7": 1}
    assert product_cache.acquire_lease("product:7", single_flight.LEASE) == product_cache.LeaseHeld(True)


def test_ids_that_only_a_list_can_have_cost_one_reading_of_it(catalog: HostileCatalog) -> None:
    listed = [product(1), {**product(), "id": "mug-7", "title": "Mug"}]
    catalog.answer("/products", Says.json(listed))
    answer = by_ids.several(["mug-7", "mug-8", "no-such"])
    assert (ids(answer), missing(answer)) == (["mug-7"], ["mug-8", "no-such"])
    assert catalog.calls == {"/products": 1}
    assert product_copy.find("mug-7")

"""GET /products"""

import time
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from local.servers.valkey import Valkey
from shared.platform import metrics
from tests.calls import call
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog
from tests.integration import concurrency
from tests.integration.catalog_messages import deliver, removed
from tests.integration.conftest import Age


@pytest.fixture(autouse=True)
def _without_keys(catalog: HostileCatalog, environment: pytest.MonkeyPatch) -> None:
    """Functions of products have no keys for access tokens."""
    assert catalog
    environment.delenv("ACCESS_TOKEN_KEYS")


def test_miss_and_the_hit_after_it_have_the_same_bytes(catalog: HostileCatalog) -> None:
    miss, hit = call("list_products", query={}), call("list_products", query={})
    assert [answer.headers["X-Cache"] for answer in (miss, hit)] == ["miss", "hit"]
    assert (miss.status, miss.body, miss.headers["ETag"]) == (200, hit.body, hit.headers["ETag"])
    assert miss.json.keys() == {"items", "next_cursor"}
    assert miss.json["items"][0] == call("get_product", path={"product_id": "1"}).json
    assert catalog.calls["/products"] == 1


def test_another_page_of_a_fresh_list_is_as_old_as_the_list(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    call("list_products", query={})
    age_everything(10)
    answer = call("list_products", query={"limit": "50"})
    assert (answer.headers["X-Cache"], answer.headers["Age"]) == ("miss", "10")
    assert catalog.calls == {"/products": 1}


def test_hit_tells_the_age_of_the_list_and_may_be_304(age_everything: Age) -> None:
    first = call("list_products", query={"limit": "2"})
    age_everything(100.5)
    hit = call("list_products", query={"limit": "2"})
    assert (hit.status, hit.body) == (200, first.body)
    assert hit.headers == {**first.headers, "Age": "100", "X-Cache": "hit"}
    assert hit.headers["Cache-Control"] == (
        "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400"
    )
    for tag in (first.headers["ETag"], f"W/{first.headers['ETag']}", "*", f'"x", {first.headers["ETag"]}'):
        answer = call("list_products", query={"limit": "2"}, headers={"if-none-match": tag})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, "", first.headers["ETag"])
        assert "Content-Type" not in answer.headers


def test_link_repeats_the_parameters_of_the_request(db: psycopg.Connection) -> None:
    call("list_products", query={})
    category = 'men\'s "best" & more,ça'
    db.execute("UPDATE products SET category = %s", [category])
    parameters = {"limit": "2", "category": category, "sort": "-title"}
    for _ in range(2):
        answer = call("list_products", query=parameters)
        target, relation = answer.headers["Link"].split("; ")
        assert relation == 'rel="next"'
        query = parse_qs(urlsplit(target.strip("<>")).query)
        expected = parameters | {"cursor": answer.json["next_cursor"]}
        assert query == {name: [value] for name, value in expected.items()}
        target.encode("ascii")  # a header's value


@pytest.mark.parametrize("name", ["limit", "sort", "cursor", "srot"])
def test_bad_parameter_is_422_whether_or_not_the_page_is_cached(name: str) -> None:
    for _ in range(2):
        assert call("list_products", query={name: ""}).wrong == [f"query.{name}"]
        assert call("list_products", query={}).status == 200


@pytest.mark.parametrize("sort", [None, "price", "-price", "title", "-title"])
def test_link_leads_to_the_next_page_of_the_same_order(sort: str | None) -> None:
    query = {"sort": sort} if sort else {}
    whole = call("list_products", query=query | {"limit": "100"}).json["items"]
    first = call("list_products", query=query | {"limit": "2"})
    cursor = first.json["next_cursor"]
    assert f"cursor={cursor}" in first.headers["Link"]
    second = call("list_products", query=query | {"limit": "2", "cursor": cursor})
    assert first.json["items"] + second.json["items"] == whole[:4]


@pytest.mark.parametrize(
    "other",
    [{"sort": "title"}, {"sort": "price", "category": "kitchen"}, {"sort": "price", "category": ""}, {}],
)
def test_cursor_is_good_for_its_own_order_and_category_only(other: dict[str, str]) -> None:
    cursor = call("list_products", query={"limit": "1", "sort": "price"}).json["next_cursor"]
    assert call("list_products", query=other | {"cursor": cursor}).wrong == ["query.cursor"]


@pytest.mark.parametrize("category", ["kitchen", "Home, Garden", "", "men's clothing"])
def test_category_may_have_any_characters(db: psycopg.Connection, category: str) -> None:
    call("list_products", query={})
    db.execute("UPDATE products SET category = %s WHERE product_id = '3'", [category])
    db.execute("UPDATE products SET category = 'other' WHERE product_id <> '3'")
    answer = call("list_products", query={"category": category})
    assert [item["product_id"] for item in answer.json["items"]] == ["3"]


def test_page_behind_a_cursor_is_made_of_the_copy_and_not_cached(
    valkey: Valkey, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setattr(metrics, "GATHERED", 0)
    cursor = call("list_products", query={"limit": "1"}).json["next_cursor"]
    capsys.readouterr()
    with concurrency.commands(valkey.url) as counted:
        for _ in range(2):
            answer = call("list_products", query={"limit": "1", "cursor": cursor})
            assert answer.headers["X-Cache"] == "miss"
    assert not {"set", "eval", "hset"} & counted.keys()
    assert capsys.readouterr().out.count('"state": "copy"') == 2  # which is no miss of the cache


def test_stale_page_is_sent_or_made_of_the_copy_when_the_catalog_fails(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    first = call("list_products", query={})
    age_everything(3_600)
    catalog.answer_all(Says.status(500))
    stale = call("list_products", query={})
    assert (stale.status, stale.body, stale.headers["X-Cache"]) == (200, first.body, "stale")
    assert 3_600 <= int(stale.headers["Age"]) < 3_700
    valkey.flush()
    made = call("list_products", query={})
    assert (made.status, made.body, made.headers["X-Cache"]) == (200, first.body, "stale")


def test_without_catalog_and_copy_it_is_503_with_retry_after(catalog: HostileCatalog) -> None:
    catalog.answer_all(Says.status(500))
    for _ in range(2):
        answer = call("list_products", query={})
        assert (answer.status, answer.problem) == (503, "catalog-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    assert catalog.calls["/products"] == 1  # the second one did not try at once


# ── Products by their ids ─────────────────────────────────────────────────────────────────────────────────


def test_products_have_the_order_of_the_request_and_the_age_of_the_oldest(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    call("get_product", path={"product_id": "7"})
    age_everything(80.5)
    for number in ("12", "8"):
        call("get_product", path={"product_id": number})
    deliver(removed(int(time.time() * 1000) + 1, "8"))
    age_everything(20)
    call("get_product", path={"product_id": "40"})
    catalog.forget_calls()
    with concurrency.commands(valkey.url) as counted:
        answer = call("list_products", query={"product_id": "40,7,8,12,7"})
    assert [item["product_id"] for item in answer.json["items"]] == ["40", "7", "12"]
    assert answer.json["missing"] == ["8"]
    assert (answer.headers["X-Cache"], answer.headers["Age"]) == ("hit", "100")
    # What is missing is so for 60 s, of which 20 are over.
    assert answer.headers["Cache-Control"].startswith("public, max-age=140,")
    assert not catalog.calls
    assert "set" not in counted
    again = call("list_products", query={"product_id": "40,7,8,12"}, headers={"if-none-match": "*"})
    assert (again.status, again.headers["ETag"]) == (304, answer.headers["ETag"])


def test_old_copy_is_sent_as_stale_without_a_call_of_the_catalog(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    call("get_product")
    age_everything(3_600)
    valkey.flush()
    catalog.forget_calls()
    answer = call("list_products", query={"product_id": "7"})
    assert answer.headers["X-Cache"] == "stale"
    assert 3_600 <= int(answer.headers["Age"]) < 3_700
    assert catalog.calls == {}


def test_copy_answers_in_one_statement_and_the_catalog_for_the_rest_whatever_the_limit(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    for number in ("7", "9"):
        call("get_product", path={"product_id": number})
    valkey.flush()
    catalog.forget_calls()
    catalog.answer("/products/8", Says.null())
    query = {"product_id": "8,7,9,10", "limit": "2"}
    with concurrency.statements() as sent:
        answer = call("list_products", query=query)
    assert [item["product_id"] for item in answer.json["items"]] == ["7", "9", "10"]
    assert (answer.json["missing"], answer.headers["X-Cache"]) == (["8"], "miss")
    assert catalog.calls == {"/products/8": 1, "/products/10": 1}
    assert sum("= ANY" in text for text in sent) == 1
    again = call("list_products", query={"product_id": "7,9,10", "limit": "2"})
    assert (again.json["items"], again.headers["X-Cache"]) == (answer.json["items"], "hit")
    assert call("list_products", query=query | {"limit": "0"}).wrong == ["query.limit"]


def test_hundred_products_may_be_asked_for() -> None:
    ids = ",".join(map(str, range(1, 101)))
    assert call("list_products", query={"product_id": ids}).status == 200


def test_products_that_the_catalog_does_not_confirm_are_missing_in_an_answer_that_no_cache_keeps(
    catalog: HostileCatalog,
) -> None:
    call("get_product")
    catalog.forget_calls()
    catalog.answer_all(Says.reset())
    answer = call("list_products", query={"product_id": "8,7,9"})
    assert (answer.status, answer.json["missing"]) == (200, ["8", "9"])
    assert [item["product_id"] for item in answer.json["items"]] == ["7"]
    assert answer.headers["X-Cache"] == "stale"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not {"ETag", "Age"} & answer.headers.keys()
    assert catalog.calls.keys() == {"/products/8", "/products/9"}

import pytest

from functions.list_favorite_ids import handler
from tests.calls import ANA, SOMEBODY_ELSE, call, token
from tests.unit import fakes
from tests.unit.fakes import Backends, Row

backends = pytest.fixture(fakes.backends)

_OF_PRODUCTS = "WITH ORDINALITY AS asked"
_REVISION = "SELECT favorites_revision FROM clients"
_PAGE = "row_number() OVER ()"


def found(product_ids: str = '["7", "40"]', **changes: object) -> Row:
    return {"favorites_count": 37, "favorites_revision": 5, "product_ids": product_ids} | changes


def test_those_asked_for_are_one_statement_and_no_other_call(backends: Backends) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()])
    answer = call("list_favorite_ids")
    assert answer.status == 200
    assert answer.json == {"product_ids": ["7", "40"], "next_cursor": None, "count": 37, "max": 5000}
    assert answer.headers["Cache-Control"] == "private, no-cache"
    [asked] = backends.postgres.asked_for(_OF_PRODUCTS)
    assert (asked["client_id"], asked["product_ids"]) == (ANA, ["7", "12", "40"])
    assert len(backends.postgres.asked) == 1
    assert backends.valkey.commands == []


@pytest.mark.parametrize("text", ["7,12,7", "7,12", "12,7,12,12"])
def test_each_product_is_asked_for_once_in_the_order_of_the_request(backends: Backends, text: str) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()])
    call("list_favorite_ids", query={"product_id": text})
    assert backends.postgres.asked_for(_OF_PRODUCTS)[0]["product_ids"] == list(dict.fromkeys(text.split(",")))


def test_a_repeated_parameter_is_as_good_as_commas(backends: Backends) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()])
    answer = call(
        "list_favorite_ids",
        rawQueryString="product_id=7&product_id=12",
        queryStringParameters={"product_id": "7,12"},  # as API Gateway joins them
    )
    assert answer.status == 200
    assert backends.postgres.asked_for(_OF_PRODUCTS)[0]["product_ids"] == ["7", "12"]


def test_a_page_leads_to_the_next(backends: Backends) -> None:
    end = {"last_favorited_at": "2026-11-23T12:00:00.000000Z", "last_product_id": "40"}
    backends.postgres.on(_PAGE, [found(**end)], [found('["3"]')])
    first = call("list_favorite_ids", query={"limit": "2"})
    assert f"cursor={first.json['next_cursor']}>" in first.headers["Link"]
    second = call("list_favorite_ids", query={"limit": "2", "cursor": first.json["next_cursor"]})
    assert (second.json["product_ids"], second.json["next_cursor"]) == (["3"], None)
    assert "Link" not in second.headers
    assert backends.postgres.asked_for(_PAGE)[1]["product_id"] == "40"


def test_a_page_has_a_thousand_ids_unless_asked_otherwise(backends: Backends) -> None:
    backends.postgres.on(_PAGE, [found()])
    call("list_favorite_ids", query={})
    assert backends.postgres.asked_for(_PAGE)[0]["limit"] == 1_000


def test_who_has_the_revision_already_gets_a_304(backends: Backends) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()], [found(favorites_revision=6)])
    backends.postgres.on(_REVISION, [{"favorites_revision": 5}], [{"favorites_revision": 6}])
    etag = call("list_favorite_ids").headers["ETag"]
    same, changed = (call("list_favorite_ids", headers={"if-none-match": f"W/{etag}"}) for _ in range(2))
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    assert changed.status == 200
    assert changed.headers["ETag"] != etag
    assert [text[:25] for text in backends.postgres.statements].count(_REVISION[:25]) == 2
    assert len(backends.postgres.asked) == 4  # the first, the 304, and the two of a change


def test_an_asterisk_is_whatever_there_is(backends: Backends) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()])
    assert call("list_favorite_ids", headers={"if-none-match": "*"}).status == 304


def test_the_short_way_and_the_long_one_answer_alike(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()])
    short = call("list_favorite_ids")
    backends.postgres.on(_REVISION, [{"favorites_revision": 5}])
    known = {"if-none-match": short.headers["ETag"]}
    short_304 = call("list_favorite_ids", headers=known)
    monkeypatch.setattr(handler, "MAX_IDS_ASKED", 0)  # nothing is short enough
    assert call("list_favorite_ids") == short
    assert call("list_favorite_ids", headers=known) == short_304


def test_another_clients_entity_tag_is_nothing_known(backends: Backends) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()])
    etag = call("list_favorite_ids").headers["ETag"]
    answer = call(
        "list_favorite_ids", authorization=token(SOMEBODY_ELSE), headers={"if-none-match": f'"x", {etag}'}
    )
    assert answer.status == 200
    assert backends.postgres.asked_for(_REVISION) == []


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_OF_PRODUCTS, [])
    assert call("list_favorite_ids").problem == "invalid-token"


def many(count: int) -> str:
    return ",".join(map(str, range(count)))


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"product_id": ""}, ["query.product_id.0"]),
        ({"product_id": "7,,12"}, ["query.product_id.1"]),
        ({"product_id": "7, 12"}, ["query.product_id.1"]),
        ({"product_id": "a b"}, ["query.product_id.0"]),
        ({"product_id": "7," + "x" * 65}, ["query.product_id.1"]),
        ({"product_id": many(101)}, ["query.product_id"]),
        ({"product_id": ",".join(["7"] * 101)}, ["query.product_id"]),
        ({"product_id": "7", "cursor": "x"}, ["query.cursor"]),
        ({"limit": "0"}, ["query.limit"]),
        ({"limit": "1001"}, ["query.limit"]),
        ({"cursor": "forged"}, ["query.cursor"]),
        ({"product_ids": "7"}, ["query.product_ids"]),
    ],
)
def test_bad_parameters_are_422_and_named(
    backends: Backends, query: dict[str, str], wrong: list[str]
) -> None:
    assert call("list_favorite_ids", query=query).wrong == wrong
    assert backends.postgres.asked == []


def test_a_hundred_products_may_be_asked_for(backends: Backends) -> None:
    backends.postgres.on(_OF_PRODUCTS, [found()])
    assert call("list_favorite_ids", query={"product_id": many(100)}).status == 200

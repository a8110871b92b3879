import pytest

from tests.calls import ANA, Answer, call, sample
from tests.unit import fakes
from tests.unit.fakes import NO_FAVORITE, Backends, favorite_row
from tests.unit.test_add_favorite import FAVORITE_AS_JSON

backends = pytest.fixture(fakes.backends)

_READ = "SELECT held.favorite FROM clients"


def test_a_favorite_is_answered_with_its_product(backends: Backends) -> None:
    backends.postgres.on(_READ, [favorite_row()])
    answer = call("get_favorite")
    assert answer.status == 200
    assert answer.json == FAVORITE_AS_JSON
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert backends.postgres.asked_for(_READ) == [{"client_id": ANA, "generation": 0, "product_id": "7"}]


def test_who_has_the_favorite_already_gets_a_304(backends: Backends) -> None:
    backends.postgres.on(_READ, [favorite_row()], [favorite_row()], [favorite_row(price=20)])
    etag = call("get_favorite").headers["ETag"]
    same, cheaper = (call("get_favorite", headers={"if-none-match": etag}) for _ in range(2))
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    assert same.headers["Cache-Control"] == "private, no-cache"
    assert cheaper.status == 200
    assert cheaper.headers["ETag"] != etag


def test_head_answers_like_get_without_the_body(backends: Backends) -> None:
    backends.postgres.on(_READ, [favorite_row()])
    get, head = call("get_favorite"), call_head()
    assert (head.status, head.body) == (200, "")
    assert head.headers == {**get.headers, "Content-Length": str(len(get.body))}
    assert call_head({"if-none-match": get.headers["ETag"]}).status == 304


def test_head_of_no_favorite_is_404_without_a_body(backends: Backends) -> None:
    backends.postgres.on(_READ, [NO_FAVORITE])
    answer = call_head()
    assert (answer.status, answer.body) == (404, "")
    assert answer.headers["Content-Type"] == "application/problem+json"


def call_head(headers: dict[str, str | None] | None = None) -> Answer:
    event = sample("get_favorite")
    event["requestContext"]["http"]["method"] = "HEAD"
    return call(
        "get_favorite",
        headers=headers,
        routeKey="HEAD /favorites/{product_id}",
        requestContext=event["requestContext"],
    )


def test_a_removed_product_stays_a_favorite_that_is_not_available(backends: Backends) -> None:
    backends.postgres.on(_READ, [favorite_row(available=False)])
    assert call("get_favorite").json["available"] is False


def test_a_product_that_is_none_of_mine_is_404(backends: Backends) -> None:
    backends.postgres.on(_READ, [NO_FAVORITE])
    answer = call("get_favorite")
    assert answer.status == 404
    assert answer.problem == "not-favorite"


def test_an_id_that_no_product_can_have_is_404(backends: Backends) -> None:
    assert call("get_favorite", path={"product_id": "x" * 65}).status == 404
    assert backends.postgres.asked == []


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_READ, [])
    assert call("get_favorite").problem == "invalid-token"

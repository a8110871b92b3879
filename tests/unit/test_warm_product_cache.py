import pytest

from functions.warm_product_cache.handler import lambda_handler
from shared.errors import DatabaseUnavailable
from shared.products import poll
from tests.calls import call, sample
from tests.unit import fakes
from tests.unit.fakes import NOON, Backends, FakeAnswer, lease_of_another, product_row

backends = pytest.fixture(fakes.backends)

_KNOWN = "SELECT product_id, position FROM products"
_WRITE = "WITH seen AS"
_PAGE = "WHERE removed_at IS NULL AND (%(category)s::text"
CATALOG = FakeAnswer(b'[{"id":7,"title":"Teapot","price":22.30},{"id":8,"title":"Kettle","price":60}]')


@pytest.fixture(autouse=True)
def _well(backends: Backends) -> None:
    """A catalog of two products, of which one has changed, and an old copy of it."""
    backends.catalog.on("/products", CATALOG)
    backends.postgres.on(_KNOWN, [{"product_id": "7", "position": 1_024}])
    rows = [
        product_row(),
        product_row(product_id="8", title="Kettle", changed=True),
    ]
    backends.postgres.on(_WRITE, rows)
    backends.postgres.on(_PAGE, rows)
    backends.postgres.on(
        "SELECT generation, synced_at", [{"generation": 2, "synced_at": None, "is_scheduled": False}]
    )
    backends.postgres.on("UPDATE product_list SET synced_at", [{"generation": 2}])
    backends.postgres.on("UPDATE product_list SET scheduled_at", 1)
    backends.postgres.on("GROUP BY category", [{"category": "kitchen"}])


def test_it_tells_what_there_was_to_do(backends: Backends) -> None:
    done = lambda_handler(sample("warm_product_cache"), None)
    assert (done["products"], done["changed"]) == (2, 1)
    assert done["seconds"] >= 0
    assert backends.catalog.asked == ["/products"]


def test_every_product_is_a_hit_from_then_on(backends: Backends) -> None:
    lambda_handler({}, None)
    for product_id in ("7", "8"):
        assert call("get_product", path={"product_id": product_id}).headers["X-Cache"] == "hit"
    assert backends.catalog.asked == ["/products"]


@pytest.mark.parametrize(
    "query", [{}, {"sort": "price"}, {"sort": "-price"}, {"sort": "title"}, {"category": "kitchen"}]
)
def test_the_first_pages_are_hits_from_then_on(backends: Backends, query: dict[str, str]) -> None:
    lambda_handler({}, None)
    assert call("list_products", query=query).headers["X-Cache"] == "hit"
    assert backends.catalog.asked == ["/products"]


def test_while_another_reads_the_catalog_there_is_nothing_to_do(backends: Backends) -> None:
    lease_of_another(backends.valkey, "poll")
    assert lambda_handler({}, None) == {"skipped": True}
    assert backends.catalog.asked == []
    assert backends.postgres.asked == []


def test_a_reader_who_reads_the_list_is_in_no_polls_way(backends: Backends) -> None:
    lease_of_another(backends.valkey, "products")
    assert lambda_handler({}, None)["products"] == 2


def test_a_run_of_the_schedule_is_remembered_and_another_is_not(backends: Backends) -> None:
    lambda_handler({}, None)
    assert backends.postgres.asked_for("SET scheduled_at") == []
    lambda_handler(sample("warm_product_cache"), None)
    assert len(backends.postgres.asked_for("SET scheduled_at")) == 1


def test_afterwards_the_next_may(backends: Backends) -> None:
    for _ in range(2):
        assert "skipped" not in lambda_handler({}, None)
    assert len(backends.catalog.asked) == 2


@pytest.mark.parametrize("failure", [FakeAnswer(status=500), FakeAnswer(b"[{"), OSError()])
def test_a_catalog_that_fails_is_told_and_changes_nothing(
    backends: Backends, failure: FakeAnswer | Exception
) -> None:
    backends.catalog.on("/products", failure)
    assert list(lambda_handler({}, None)) == ["failed"]
    assert backends.postgres.asked == []
    assert not backends.valkey.values  # the lease too is free again


@pytest.fixture
def sixty_known(backends: Backends) -> Backends:
    """The backends, with a copy of sixty products where the catalog lists two."""
    backends.postgres.on(_KNOWN, [{"product_id": f"p{number}", "position": number} for number in range(60)])
    backends.postgres.on("WITH gone AS", [])
    backends.postgres.on("SELECT product_id FROM products_missed", [])
    backends.postgres.on("INSERT INTO products_missed", 58)
    return backends


def test_a_catalog_that_lost_most_products_is_not_believed(sixty_known: Backends) -> None:
    assert lambda_handler({}, None) == {
        "failed": "The catalog's list is not used: too many products are missing."
    }
    assert sixty_known.postgres.asked_for("INSERT INTO products") == []


def test_unless_somebody_says_that_it_is_so(sixty_known: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_MASS_REMOVAL", "true")
    lambda_handler({}, None)
    (missed,) = sixty_known.postgres.asked_for("INSERT INTO products_missed")
    assert len(missed["product_ids"]) == 60


def test_without_the_database_it_is_an_error(backends: Backends) -> None:
    backends.postgres.is_down = True
    with pytest.raises(DatabaseUnavailable):
        lambda_handler({}, None)
    assert "lease:poll" not in backends.valkey.values


def test_the_lease_is_held_for_as_long_as_the_function_may_run(backends: Backends) -> None:
    lambda_handler({}, None)
    assert backends.valkey.seconds_to_live["lease:poll"] == poll.LEASE == 120


def test_a_product_of_the_list_is_fresh_even_where_the_copy_knows_something_newer(backends: Backends) -> None:
    newer = product_row(fetched_at=NOON.replace(year=2025), version=int(NOON.timestamp() * 1000) + 10**9)
    backends.postgres.on(_WRITE, [newer])
    lambda_handler({}, None)
    assert call("get_product").headers["X-Cache"] == "hit"

"""The poll refuses nonsense, and all stays as it was."""

from typing import Any

import psycopg
import pytest
import simplejson

from local.servers.valkey import Valkey
from shared.products import catalog as catalog_client
from shared.products import poll as catalog_poll
from tests.hostile_catalog import MEGABYTE, Answer, HostileCatalog, product
from tests.integration import recorder
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.poll.polling import (
    cached,
    listed_ids,
    lists,
    numbered,
    poll,
    poll_twice,
    price_of,
    rows,
    told,
)

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_list_of_less_than_half_is_refused_whole(
    catalog: HostileCatalog,
    db: psycopg.Connection,
    valkey: Valkey,
    known: dict[str, tuple[Any, ...]],
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left: int,
) -> None:
    lists(catalog, *numbered(*range(1, left + 1), price=1))
    before = cached(valkey), told(db)
    lines = recorder.log(environment)
    recorder.metrics(capsys)
    assert "failed" in poll()
    assert rows(db) == known
    assert (cached(valkey), told(db)) == before
    assert [(line.level, line.message) for line in lines] == [("error", "catalog refused")]
    assert f"{10 - left} of the 10 known products are missing" in str(lines[0].more)
    raised = recorder.metrics(capsys)
    assert {"CatalogRefused": 1} in raised
    assert {"CatalogPollsFailed": 1} in raised
    assert not any("Refreshes" in metric for metric in raised)


def test_a_list_of_half_is_believed(catalog: HostileCatalog, known: dict[str, tuple[Any, ...]]) -> None:
    lists(catalog, *numbered(*range(1, 6)))
    assert poll() == {"products": 5, "changed": 0}
    assert poll() == {"products": len(known), "changed": 5}
    assert listed_ids() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("by", ["a request", "an event"])
@pytest.mark.parametrize("shown", [0, 10])
def test_products_that_no_list_has_shown_do_not_keep_a_list_out(
    catalog: HostileCatalog, shown: int, by: str
) -> None:
    if shown:
        lists(catalog, *numbered(*range(1, shown + 1)))
        poll()
    for number in range(50, 61):
        if by == "a request":
            catalog.answer(f"/products/{number}", Answer.json(product(number)))
            assert price_of(str(number))
        else:
            assert deliver(changed_product(catalog_client.now_version(), number)) == []
    lists(catalog, *numbered(*range(1, 21)))
    assert poll() == {"products": 20, "changed": 20 - shown}
    assert listed_ids()[:20] == [str(number) for number in range(1, 21)]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("left", [0, 2])
def test_mass_removal_is_believed_where_it_is_allowed(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, left: int
) -> None:
    environment.setenv("ALLOW_MASS_REMOVAL", "true")
    lists(catalog, *numbered(*range(1, left + 1)))
    assert poll_twice() == 10 - left
    assert listed_ids() == [str(number) for number in range(1, left + 1)]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("value", ["", "false", "1", "yes"])
def test_nothing_but_true_allows_mass_removal(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, value: str
) -> None:
    environment.setenv("ALLOW_MASS_REMOVAL", value)
    lists(catalog)
    assert "failed" in poll()


def test_products_that_fail_the_check_count_as_there(
    catalog: HostileCatalog, db: psycopg.Connection, known: dict[str, tuple[Any, ...]]
) -> None:
    lists(catalog, *numbered(1, 2, 3), *({**product(number), "price": None} for number in (4, 5, 6)))
    assert poll_twice() == 4
    after = rows(db)
    assert {number for number in after if after[number] != known[number]} == {"7", "8", "9", "10"}


WHOLE = simplejson.dumps(numbered(*range(1, 11), price=1), use_decimal=True).encode()
FLOOD = 200 * MEGABYTE

NONSENSE: dict[str, Answer] = {
    "it resets the connection": Answer.reset(),
    "it hangs": Answer.hang(),
    "it hangs in the middle": Answer.hang_in_body(WHOLE),
    "it drips": Answer.drip(WHOLE),
    "the body ends early": Answer.truncated_body(WHOLE),
    "the JSON ends early": Answer.truncated_json(WHOLE),
    "status 500": Answer.status(500),
    "status 404": Answer.status(404),
    "status 204": Answer.status(204),
    "it redirects": Answer.redirect("/elsewhere"),
    "a page for people": Answer.html(),
    "nothing": Answer.empty(),
    "null": Answer.null(),
    "an object": Answer.json({"products": numbered(1)}),
    "a product": Answer.json(product(1)),
    "a number without end": Answer.text('[{"id": 1e99999999999999999999}]'),
    "something behind the array": Answer.raw(WHOLE + b"x"),
    "two arrays": Answer.raw(WHOLE + WHOLE),
    "a comma too much": Answer.raw(WHOLE[:-1] + b",]"),
    "no UTF-8": Answer.raw(WHOLE.replace(b"Product 9", b"Product \xff")),
    "NaN among the prices": Answer.raw(WHOLE[:-1].replace(b'"price": 1,', b'"price": NaN,') + b"]"),
    "nested too deep": Answer.raw(b"[" * 100_000 + b"]" * 100_000),
    "mostly bad products": Answer.json([*numbered(1, 2), *({"id": number} for number in range(3, 11))]),
    "a gzip that nobody asked for": Answer.gzip_bomb(MEGABYTE),
    "200 MB of one product": Answer.flood(FLOOD, with_length=False),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_after_nonsense_all_is_as_it_was(
    catalog: HostileCatalog,
    db: psycopg.Connection,
    valkey: Valkey,
    known: dict[str, tuple[Any, ...]],
    environment: pytest.MonkeyPatch,
    nonsense: str,
) -> None:
    environment.setattr(catalog_poll, "TIMEOUT", 5.0 if "200 MB" in nonsense else 0.4)
    environment.setattr(catalog_poll, "LIST_BYTES", 4 * MEGABYTE)
    catalog.answer("/products", NONSENSE[nonsense])
    before = cached(valkey)
    assert "failed" in poll()
    assert rows(db) == known
    assert cached(valkey) == before
    lists(catalog, *numbered(*range(1, 11), price=1))
    catalog_client.reset()
    assert poll()["changed"] == 10  # and no lease is in the way


def test_a_poll_gives_up_before_its_function_is_ended() -> None:
    assert catalog_poll.TIMEOUT <= 300

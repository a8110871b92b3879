"""The table: what the catalog may answer, against what this service makes of it.

Three outcomes: `good` becomes the product; `unknown` becomes a 404 and a tombstone; `useless` leaves what is
known in place, or is a 503 where nothing is. Whatever it is, it comes within the catalog's time and a bit.
"""

import gzip
import time
from decimal import Decimal

import pytest
import simplejson

from local.servers.valkey import Valkey
from shared.errors import CatalogUnavailable, UnknownProduct
from shared.products import catalog as catalog_client
from shared.products import demand, product_cache, product_copy
from tests.hostile_catalog import Answer, HostileCatalog, blemished, nonsense, product
from tests.integration.conftest import Age

pytestmark = pytest.mark.usefixtures("environment")

PATH = "/products/7"
TTL = 300
TIMEOUT = 0.3  # seconds, in place of the 2 of catalog.TIMEOUT: the rules are the same
AND_A_BIT = 0.3  # seconds

WHOLE = simplejson.dumps(product(7), use_decimal=True).encode()
PRICED = WHOLE.replace(b"22.30", b"%s").decode()

GOOD: dict[str, Answer] = {
    "good": Answer.raw(WHOLE),
    "good, with a price as an integer": Answer.text(PRICED % "22"),
    "good, with no rating": Answer.json({k: v for k, v in product(7).items() if k != "rating"}),
    "good, with a null rating": Answer.json(product(7, rating=None)),
    "good, with spaces around the title": Answer.json(product(7, title="  Product 7 \n")),
    "good, with an id as a string": Answer.json({**product(7), "id": "7"}),
    "good, with any URL as its image": Answer.json(product(7, image="ftp://a b/ü?<>")),
    "good, with fields that nobody knows": Answer.json({**product(7), "color": ["red"]}),
    "good, in a moment": Answer.raw(WHOLE).after(0.1),
    "good, without a Content-Type": Answer.raw(WHOLE, headers={"Content-Type": ""}),
    "good, said to be HTML": Answer.raw(WHOLE, headers={"Content-Type": "text/html"}),
}

UNKNOWN: dict[str, Answer] = {
    "null": Answer.null(),
    "empty": Answer.empty(),
    "blank": Answer.text(" \n"),
    "404": Answer.status(404),
    "404 with the product": Answer.raw(WHOLE, 404),
    "410": Answer.status(410),
}

USELESS: dict[str, Answer] = {
    "400": Answer.status(400),
    "401": Answer.status(401),
    "403": Answer.status(403),
    "429": Answer.status(429, {"Retry-After": "3600"}),
    "500": Answer.status(500),
    "500 with the product": Answer.raw(WHOLE, 500),
    "503": Answer.status(503, {"Retry-After": "1"}),
    "201 with the product": Answer.raw(WHOLE, 201),
    "204": Answer.raw(b"", 204),
    "206 with the product": Answer.raw(WHOLE, 206),
    "redirect": Answer.redirect("/products/8"),
    "lasting redirect": Answer.redirect("/products/8", 308),
    "redirect to nowhere": Answer.redirect("http://127.0.0.1:9/products/7"),
    "hang": Answer.hang(),
    "hang in the body": Answer.hang_in_body(WHOLE),
    "slow drip": Answer.drip(WHOLE, 0.05),
    "too late": Answer.raw(WHOLE).after(TIMEOUT + 0.1),
    "reset": Answer.reset(),
    "truncated body": Answer.truncated_body(WHOLE),
    "truncated JSON": Answer.truncated_json(WHOLE),
    "HTML": Answer.html(),
    "not UTF-8": Answer.raw(WHOLE.replace(b"Product", b"Pr\xf6duct")),
    "50 MB": Answer.flood(),
    "50 MB without a length": Answer.flood(with_length=False),
    "2 MB": Answer.flood(2_000_000),
    "gzip that nobody asked for": Answer.raw(gzip.compress(WHOLE), headers={"Content-Encoding": "gzip"}),
    "gzip of 50 MB": Answer.gzip_bomb(),
    "price with an exponent without end": Answer.text(PRICED % "1e99999999999999999999"),
    "price with a negative exponent without end": Answer.text(PRICED % "1e-99999999999999999999"),
    "price with an exponent": Answer.text(PRICED % "1e300"),
    "price of too many decimals": Answer.text(PRICED % ("0." + "1" * 21)),
    "price as minus infinity": Answer.text(PRICED % "-Infinity"),
    **{what: Answer.text(text) for what, text in nonsense(7).items()},
}

BLEMISHED = blemished(7)


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = catalog_client._fetch.__kwdefaults__
    assert defaults
    assert defaults["timeout"] == catalog_client.TIMEOUT
    monkeypatch.setitem(defaults, "timeout", TIMEOUT)


@pytest.fixture(params=["nothing known", "stale cache", "copy only"])
def known(
    request: pytest.FixtureRequest, catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> str:
    """What the service knows of product 7 when the answer comes: its price was 1."""
    if request.param != "nothing known":
        catalog.answer(PATH, Answer.json(product(7, price=1)))
        demand.detail("7")
    if request.param == "copy only":
        valkey.flush()
    age_everything(TTL)
    catalog.forget_calls()
    return str(request.param)


def ask() -> tuple[str, object]:
    started = time.monotonic()
    try:
        answer = demand.detail("7")
    except UnknownProduct:
        return "unknown", None
    except CatalogUnavailable as refusal:
        return "unavailable", refusal.retry_after
    finally:
        assert time.monotonic() - started < TIMEOUT + AND_A_BIT
    return answer.state, simplejson.loads(answer.entry.body, use_decimal=True)["price"]


@pytest.mark.parametrize("what", GOOD)
def test_a_good_answer_becomes_the_product(catalog: HostileCatalog, known: str, what: str) -> None:
    assert known
    catalog.answer(PATH, GOOD[what])
    assert ask() in [("miss", Decimal("22.30")), ("miss", 22)]
    entry, held = product_cache.get("7"), product_copy.find("7")
    assert entry
    assert entry.is_fresh
    assert held
    assert held.title == "Product 7"


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_product_is_a_404_and_a_tombstone(catalog: HostileCatalog, known: str, what: str) -> None:
    catalog.answer(PATH, UNKNOWN[what])
    assert ask() == ("unknown", None)
    held = product_copy.find("7")
    entry = product_cache.get("7") if held else product_cache.get_unknown("7")
    assert entry
    assert entry.status == 404
    if known == "nothing known":
        assert held is None
    else:
        assert held
        assert held.removed_at is not None


@pytest.mark.parametrize("what", USELESS)
def test_a_useless_answer_leaves_what_is_known(catalog: HostileCatalog, known: str, what: str) -> None:
    catalog.answer(PATH, USELESS[what])
    before = product_copy.find("7")
    answered = ask()
    if known == "nothing known":
        assert answered == ("unavailable", 5)
        assert product_cache.get("7") is None
    else:
        assert answered == ("stale", 1)
        entry = product_cache.get("7")
        assert entry
        assert not entry.is_fresh  # never cached as good
    assert product_copy.find("7") == before
    assert catalog.calls == {PATH: 1}  # nor was a redirect followed, nor anything tried twice


@pytest.mark.parametrize("what", BLEMISHED)
def test_a_spoiled_review_is_never_shown(catalog: HostileCatalog, known: str, what: str) -> None:
    """Half a review is none; one that is nonsense makes the whole answer doubtful. Both are right here."""
    catalog.answer(PATH, Answer.json(BLEMISHED[what]))
    answered, entry = ask(), product_cache.get("7")
    if answered == ("miss", Decimal("22.30")):
        assert entry
        assert simplejson.loads(entry.body)["review"] is None
    else:
        assert answered == (("unavailable", 5) if known == "nothing known" else ("stale", 1))
        assert entry is None or not entry.is_fresh


def test_nothing_listens(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_URL", "http://127.0.0.1:9")
    assert ask() == (("unavailable", 5) if known == "nothing known" else ("stale", 1))


def test_its_name_has_no_address(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_URL", "http://catalog.invalid")
    assert ask() == (("unavailable", 5) if known == "nothing known" else ("stale", 1))


def test_the_connection_works_after_every_useless_answer(
    catalog: HostileCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer leaves bytes behind that the next one is taken for."""
    monkeypatch.setattr(catalog_client, "FAILURES_TO_OPEN", 1_000)
    slow = {"hang", "hang in the body", "slow drip", "too late"}
    for number, what in enumerate(sorted(USELESS.keys() - slow), start=1_000):
        catalog.answer(f"/products/{number}", USELESS[what])
        with pytest.raises((CatalogUnavailable, UnknownProduct)):
            demand.detail(str(number))
        good = product(number + 1_000)
        catalog.answer(f"/products/{good['id']}", Answer.json(good))
        assert demand.detail(str(good["id"])).state == "miss"

"""The table: what the catalog may answer, against what this service makes of it.

Three outcomes: `good` becomes the product; `unknown` becomes a 404 and a tombstone; `useless` leaves what is
known in place, or is a 503 where nothing is. Whatever it is, nobody waits for it longer than the timeout.
"""

import gzip
import time
from decimal import Decimal

import pytest
import simplejson

from local.servers.valkey import Valkey
from shared.errors import CatalogUnavailable, UnknownProduct
from shared.products import product_cache, product_copy, read_through
from shared.products.catalog import availability, http_client
from tests.hostile_catalog import Answer, HostileCatalog, nonsense, product
from tests.integration.conftest import Age

pytestmark = pytest.mark.usefixtures("environment")

PATH = "/products/7"
TTL = 300
TIMEOUT = 0.3  # seconds, in place of the 2 of catalog.TIMEOUT: the rules are the same
NEVER = 10  # seconds: what hangs or drips takes longer, and no machine is so busy

WHOLE = simplejson.dumps(product(7), use_decimal=True).encode()
PRICED = WHOLE.replace(b"22.30", b"%s").decode()

NONSENSE = nonsense(7)
OF_PRODUCT_7 = {
    *{what for what in NONSENSE if what.startswith(("title", "price", "image"))}
    - {"price is NaN", "price is Infinity"},
    "half a surrogate",
}

GOOD: dict[str, Answer] = {
    "good": Answer.raw(WHOLE),
    "good, with a price as an integer": Answer.text(PRICED % "22"),
    "good, with no rating": Answer.json({k: v for k, v in product(7).items() if k != "rating"}),
    "good, with a null rating": Answer.json(product(7, rating=None)),
    "good, with half a rating": Answer.json(product(7, rating={"count": 120})),
    "good, with spaces around the title": Answer.json(product(7, title="  Product 7 \n")),
    "good, with an id as a string": Answer.json({**product(7), "id": "7"}),
    "good, with any URL as its image": Answer.json(product(7, image="ftp://a b/ü?<>")),
    "good, with fields that nobody knows": Answer.json({**product(7), "color": ["red"]}),
    "good, with a price as text": Answer.text(PRICED % '"22.30"'),
    "good, behind a byte order mark": Answer.raw(b"\xef\xbb\xbf" + WHOLE),
    "good, compressed unasked": Answer.raw(gzip.compress(WHOLE), headers={"Content-Encoding": "gzip"}),
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
    "compressed in a way that nobody knows": Answer.raw(WHOLE, headers={"Content-Encoding": "br"}),
    "gzip that is none": Answer.raw(WHOLE, headers={"Content-Encoding": "gzip"}),
    "gzip of 50 MB": Answer.gzip_bomb(),
    "price as minus infinity": Answer.text(PRICED % "-Infinity"),
    **{what: Answer.text(text) for what, text in NONSENSE.items() if what not in OF_PRODUCT_7},
}

# The catalog has the product, and nothing that may be shown of it: that is no outage.
UNUSABLE: dict[str, Answer] = {
    "price with an exponent without end": Answer.text(PRICED % "1e99999999999999999999"),
    "price with a negative exponent without end": Answer.text(PRICED % "1e-99999999999999999999"),
    "price with an exponent": Answer.text(PRICED % "1e300"),
    "price of too many decimals": Answer.text(PRICED % ("0." + "1" * 21)),
    "title of 1,000 CJK characters": Answer.json(product(7, title="\N{CJK UNIFIED IDEOGRAPH-4E00}" * 1_000)),
    **{what: Answer.text(NONSENSE[what]) for what in sorted(OF_PRODUCT_7)},
}


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = http_client.get.__kwdefaults__
    assert defaults
    assert defaults["timeout"] == http_client.TIMEOUT
    monkeypatch.setitem(defaults, "timeout", TIMEOUT)


@pytest.fixture(params=["nothing known", "stale cache", "copy only"])
def known(
    request: pytest.FixtureRequest, catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> str:
    """What the service knows of product 7 when the answer comes: its price was 1."""
    if request.param != "nothing known":
        catalog.answer(PATH, Answer.json(product(7, price=1)))
        read_through.detail("7")
    if request.param == "copy only":
        valkey.flush()
    age_everything(TTL)
    catalog.forget_calls()
    return str(request.param)


def ask() -> tuple[str, object]:
    started = time.monotonic()
    try:
        answer = read_through.detail("7")
    except UnknownProduct:
        return "unknown", None
    except CatalogUnavailable as refusal:
        return "unavailable", refusal.retry_after
    finally:
        assert time.monotonic() - started < NEVER
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
    entry = product_cache.find("7")
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
        assert answered == ("unavailable", 600 if what == "429" else 5)
        assert product_cache.get("7") is None
    else:
        assert answered == ("stale", 1)
        entry = product_cache.get("7")
        assert entry
        assert not entry.is_fresh  # never cached as good
    assert product_copy.find("7") == before
    # Nor was a redirect followed, nor anything tried twice; but a kept connection may have been closed.
    tries = 2 if what == "reset" and known != "nothing known" else 1
    assert catalog.calls == {PATH: tries}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_product_that_fails_the_check_is_unknown_and_removes_nothing(
    catalog: HostileCatalog, known: str, what: str
) -> None:
    catalog.answer(PATH, UNUSABLE[what])
    before = product_copy.find("7")
    assert ask() == (("unknown", None) if known == "nothing known" else ("stale", 1))
    assert product_copy.find("7") == before


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://catalog.invalid"])
def test_a_catalog_that_cannot_be_reached(known: str, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CATALOG_URL", url)
    assert ask() == (("unavailable", 5) if known == "nothing known" else ("stale", 1))


def test_the_connection_works_after_every_useless_answer(
    catalog: HostileCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer leaves bytes behind that the next one is taken for."""
    monkeypatch.setattr(availability, "FAILURES_TO_OPEN", 1_000)
    monkeypatch.setattr(availability, "MAX_RETRY_AFTER", 0)
    slow = {"hang", "hang in the body", "slow drip", "too late"}
    for number, what in enumerate(sorted(USELESS.keys() - slow), start=1_000):
        catalog.answer(f"/products/{number}", USELESS[what])
        with pytest.raises((CatalogUnavailable, UnknownProduct)):
            read_through.detail(str(number))
        good = product(number + 1_000)
        catalog.answer(f"/products/{good['id']}", Answer.json(good))
        assert read_through.detail(str(good["id"])).state == "miss"

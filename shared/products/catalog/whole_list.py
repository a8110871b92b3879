"""The catalog's whole list: received within bounds, each item checked once, and read again in chunks.

The checked products lie in a temporary file meanwhile, so a list of a million takes little memory.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast
from urllib.parse import urljoin, urlsplit

from pydantic import ValidationError

from shared.errors import CatalogUnavailable
from shared.formats import json_items
from shared.platform import deadlines, logs, metrics
from shared.products.catalog import http_client, mapping
from shared.products.catalog.availability import AnswerTooLong, breaker, refuse
from shared.products.catalog.client import now_version
from shared.products.catalog.http_client import TIMEOUT, Answer
from shared.products.catalog.mapping import Contract
from shared.products.catalog.models import CatalogProduct, ProductFields, reasons

IN_MEMORY = 1024 * 1024  # bytes of a list that never get to the disk
CHUNK = 1_000  # products checked and stored together
PAGE_BYTES = 32 * 1024 * 1024  # of a mapped answer, which is decoded as a whole
MAX_PAGES = 100_000
SHOWN = 20  # refused products in a log line


@dataclass
class CatalogList:
    """The whole catalog in its own order, as it was at `version`.

    `version` is the moment when the request began, less the age of a cached answer, in milliseconds since the
    epoch. `ids` are those of the products that passed the check, in order; `refused` those of products that
    were there and did not, with the reason. Where `incomplete` says why the list may lack products, nothing
    may be removed because of it.
    """

    version: int
    ids: dict[str, None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    items: int = 0
    pages: int = 0
    incomplete: str = ""
    first_item: Any = None  # as the catalog sent it
    bad: int = 0
    doubles: int = 0
    _file: IO[bytes] = field(default_factory=lambda: _temporary_file())
    _waiting: list[ProductFields] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether a product that it does not have may be taken for removed."""
        return not self.incomplete

    def add(self, item: Any) -> None:
        """Check an item and keep it; of two with one id the first."""
        self.items += 1
        try:
            product = CatalogProduct.model_validate(item)
        except ValidationError as error:
            self._refuse(item, reasons(error))
            return
        if product.product_id in self.ids:
            self.doubles += 1
            return
        self.ids[product.product_id] = None
        self._waiting.append(product.fields())
        if len(self._waiting) == CHUNK:
            self._store()

    def finish(self) -> None:
        """End adding: refuse a list that is mostly unusable, and log what was left out."""
        self._store()
        for product_id in self.ids.keys() & self.refused.keys():
            del self.refused[product_id]
        if self.refused:
            shown = dict(list(self.refused.items())[:SHOWN])
            logs.logger().warning("catalog products refused", products=shown, number=len(self.refused))
            metrics.count("CatalogProductsRefused", len(self.refused))
        if self.bad > len(self.ids):
            refuse("most products of its list fail the check")
        if self.incomplete:
            logs.logger().warning("catalog list incomplete", reason=self.incomplete)
            metrics.count("CatalogListsIncomplete")

    def chunks(self, size: int = CHUNK) -> Iterator[list[ProductFields]]:
        """The products in order, so many at a time."""
        self._file.seek(0)
        waiting: list[ProductFields] = []
        while True:
            try:
                stored = pickle.load(self._file)  # noqa: S301 — our own file, which has no name
            except EOFError:
                break
            waiting += stored
            while len(waiting) >= size:
                yield waiting[:size]
                del waiting[:size]
        if waiting:
            yield waiting

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def _refuse(self, item: Any, reason: str) -> None:
        self.bad += 1
        if self.bad > len(self.ids) + CHUNK:  # millions of them would take minutes
            refuse("most products of its list fail the check")
        name = str(item.get("id", "?"))[:64] if isinstance(item, dict) else "?"
        self.refused[name.encode("ascii", "backslashreplace").decode()] = reason

    def _store(self) -> None:
        pickle.dump(self._waiting, self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self._waiting = []


def fetch_all(
    *, at_most: int, timeout: float = TIMEOUT, stall: float = TIMEOUT, heed_breaker: bool = True
) -> CatalogList:
    """The catalog's list, all pages of it, within `timeout` seconds and `at_most` bytes.

    `stall` is how many seconds may pass without a byte. A few bad products are left out and logged; a list
    that is mostly bad is no list. Raises CatalogUnavailable, and AnswerTooLong among them.
    """
    breaker.check(heed_failures=heed_breaker)
    listed = CatalogList(now_version())
    try:
        read_into(listed, at_most=at_most, timeout=timeout, stall=stall)
    except BaseException:
        listed.close()
        raise
    return listed


def read_into(listed: CatalogList, *, at_most: int, timeout: float, stall: float) -> None:
    """Fill an empty list, as `fetch_all` does; what was read until an error is in it all the same."""
    contract = mapping.current()
    reader = _Reader(contract, listed, time.monotonic() + timeout, stall, at_most)
    if contract.is_plain:
        reader.read_array()
    else:
        reader.read_pages()
    listed.finish()


@dataclass
class _Reader:
    contract: Contract
    listed: CatalogList
    ends: float  # by time.monotonic()
    stall: float
    bytes_left: int

    def read_array(self) -> None:
        """A list in one answer, an array of items, of which one at a time is in memory."""
        with closing(_temporary_file()) as file:
            answer = self._get(self.contract.list_url(), file, self.bytes_left)
            file.seek(0)
            try:
                for item in json_items.iterate(file):
                    self._add(item)
            except json_items.NotJson as error:
                refuse(f"its list is {_kind(file)}: {error}")
        self._note_more(answer, None)

    def read_pages(self) -> None:
        """A list in pages, one after the other, or in one answer of another shape."""
        paging = self.contract.paging
        url, total, seen = self._page_url(0, 0), None, 0
        for page in range(MAX_PAGES):
            items, answer, found = self._page(url)
            self.listed.pages += 1
            for item in items:
                self._add(item)
            if self.listed.doubles:
                self._not_whole("an item came twice: the list changed while it was read")
            if page and total != found:
                self._not_whole("its total changed while it was read")
            total, seen = found, seen + len(items)
            following = self._next(url, answer, len(items), page + 1, seen, total)
            if following is None:
                break
            url = following
        else:
            self._not_whole(f"it has more than {MAX_PAGES} pages")
        if paging.style == "none" or total is not None:
            self._note_more(answer, total)

    def _add(self, item: Any) -> None:
        if not self.listed.items:
            self.listed.first_item = item
        self.listed.add(self.contract.mapped(item))

    def _page_url(self, page: int, seen: int) -> str:
        paging = self.contract.paging
        parameters: dict[str, object] = {}
        if paging.size_parameter:
            parameters[paging.size_parameter] = paging.size
        if paging.style == "page":
            parameters[paging.parameter] = paging.first + page
        elif paging.style == "offset":
            parameters[paging.parameter] = seen
        return self.contract.list_url(**parameters)

    def _next(
        self, url: str, answer: Answer, items: int, page: int, seen: int, total: int | None
    ) -> str | None:
        """The address of the page after this one; None behind the last."""
        style = self.contract.paging.style
        if style == "link":
            following = next_link(answer.headers.get("link", ""), url)
            if following is not None and urlsplit(following)[:2] != urlsplit(url)[:2]:
                refuse(f"its next page is of another origin: {http_client.without_query(following)}")
            return following
        if style == "none" or items == 0 or (total is not None and seen >= total):
            return None
        return self._page_url(page, seen)

    def _page(self, url: str) -> tuple[list[Any], Answer, int | None]:
        """The items of a page, its answer, and the total that it names."""
        with closing(_temporary_file()) as file:
            answer = self._get_politely(url, file)
            file.seek(0)
            body = file.read().removeprefix(json_items.BYTE_ORDER_MARK)
        self.bytes_left -= len(body)
        if self.bytes_left < 0:
            refuse("its pages are longer than is read", AnswerTooLong)
        try:
            value = json_items.loads(body)
        except json_items.NotJson as error:
            refuse(f"its list is no JSON: {error}")
        items = self.contract.items.search(value) if self.contract.items else value
        if not isinstance(items, list):
            refuse("its list is not where CATALOG_MAPPING says: 'items' finds no array")
        return items, answer, mapping.total_of(self.contract.paging, value, answer.headers)

    def _get_politely(self, url: str, file: IO[bytes]) -> Answer:
        """As `_get`; where the catalog asks for a pause that there is time for, once more after it."""
        while True:
            try:
                return self._get(url, file, min(self.bytes_left, PAGE_BYTES))
            except CatalogUnavailable:
                pause = breaker.throttled_until - time.monotonic()
                if not 0 < pause < deadlines.left(self.ends - time.monotonic()) - 1:
                    raise
                time.sleep(pause)

    def _get(self, url: str, file: IO[bytes], at_most: int) -> Answer:
        left = max(0.0, self.ends - time.monotonic())
        answer = http_client.get(url, file, at_most=at_most, timeout=left, stall=self.stall)
        age = answer.headers.get("age", "")
        if age.isascii() and age.isdigit():  # a cache answered: this is what the catalog said then
            self.listed.version = min(self.listed.version, now_version() - int(age[:9]) * 1000)
        return answer

    def _note_more(self, answer: Answer, total: int | None) -> None:
        """Note where the answer says that there are more items than it has."""
        is_one_page = self.contract.paging.style == "none"
        if is_one_page and next_link(answer.headers.get("link", ""), self.contract.list_url()):
            self._not_whole("its Link says that there is a next page: see CATALOG_MAPPING")
        for name in ("x-total-count", "x-wp-total"):
            text = answer.headers.get(name, "")
            if text.isascii() and text.isdigit():
                total = max(total or 0, int(text[:12]))
        if total is not None and total > self.listed.items:
            self._not_whole(f"it says that there are {total} products and has {self.listed.items}")

    def _not_whole(self, reason: str) -> None:
        self.listed.incomplete = self.listed.incomplete or reason


def next_link(header: str, url: str) -> str | None:
    """The address that a Link header (RFC 8288) gives for `rel="next"`, relative to `url`."""
    for part in header.split(","):
        target, *parameters = part.split(";")
        relations = [each.partition("=")[2] for each in parameters if each.strip().lower().startswith("rel=")]
        if relations and "next" in relations[0].strip().strip('"').lower().split():
            return urljoin(url, target.strip().removeprefix("<").removesuffix(">"))
    return None


def _temporary_file() -> IO[bytes]:
    return cast("IO[bytes]", SpooledTemporaryFile(max_size=IN_MEMORY))


def _kind(file: IO[bytes]) -> str:
    """What a list that is no array is, for the log."""
    file.seek(0)
    start = file.read(64).removeprefix(json_items.BYTE_ORDER_MARK).lstrip()[:1]
    return "an object, not an array: see CATALOG_MAPPING" if start == b"{" else "no JSON array"

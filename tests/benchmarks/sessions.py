"""What a customer of a filled database does with favorites: the requests that `scale` times."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import filling
from tests.benchmarks.filling import Size
from tests.benchmarks.function_process import FunctionProcess, Step
from tests.calls import token

EVENTS = Path(__file__).resolve().parents[2] / "events"
PAGE = 20
ASKED = 40  # products on a page of a shop
CHANGES = 100  # products in one request, the most that it may have
DEEP = 100  # the page that is as deep as any measured

# Rows that a statement of the operation may take from any one table: what it answers with, and one more that
# says whether there is a next page. All of a shopper's favorites are as few, and may be sorted.
ROWS = {
    "first page": filling.EACH + 1,
    "first page, oldest first": filling.EACH + 1,
    "first page, by price": filling.EACH + 1,
    "first page, what fell in price": filling.EACH + 1,
    "which of 40 are favorites": ASKED,
    "the same, not changed": 1,
    "add": 1,
    "add again": 1,
    "get": 1,
    "remove": 1,
    "create": 1,
    "add 100": CHANGES,
    "remove 100": filling.EACH + CHANGES,
    "first page of very many": PAGE + 1,
    "100th page of very many": PAGE + 2,  # and the one that the cursor names
}


class Shopper(NamedTuple):
    """Somebody with 25 favorites, and a product that is none of them."""

    number: int
    product_id: str


class Sessions:
    """Sessions of chance shoppers on one database; `process` runs the functions on it."""

    def __init__(self, size: Size, process: FunctionProcess, seed: int = 7) -> None:
        self._size = size
        self._chance = random.Random(seed)
        self._deep = self._walk(process)
        answer = process.answer(self.ids("an entity tag", filling.CLIENT))
        self.etag: str = answer["headers"]["ETag"]

    def next(self) -> list[Step]:
        """The requests of one session; afterwards the shopper has the favorites that they had before."""
        shopper, product_id = self._shopper()
        path = {"product_id": product_id}
        return [
            self._list("first page", shopper),
            self._list("first page, oldest first", shopper, sort="favorited_at"),
            self._list("first page, by price", shopper, sort="price"),
            self._list("first page, what fell in price", shopper, price_dropped="true"),
            self.ids("which of 40 are favorites", shopper),
            self.ids("the same, not changed", filling.CLIENT, self.etag),
            Step("add", "add_favorite", event("add_favorite", shopper, path), 201),
            Step("add again", "add_favorite", event("add_favorite", shopper, path), 200),
            Step("get", "get_favorite", event("get_favorite", shopper, path), 200),
            Step("remove", "remove_favorite", event("remove_favorite", shopper, path), 204),
            Step("create", "create_favorite", event("create_favorite", shopper, body=path), 201),
            Step("remove", "remove_favorite", event("remove_favorite", shopper, path), 204),
            self.change("add 100", shopper),
            self.change("remove 100", shopper),
            self._list("first page of very many", filling.CLIENT),
            self._list("100th page of very many", filling.CLIENT, cursor=self._deep),
        ]

    def _shopper(self) -> Shopper:
        number = self._chance.randint(1, self._size.shoppers)
        spare = self._chance.randint(filling.EACH, filling.EACH + 20)
        return Shopper(number, self._size.product_of(number, spare))

    def _list(self, name: str, client: int, **query: str) -> Step:
        return Step(
            name, "list_favorites", event("list_favorites", client, query={"limit": str(PAGE), **query})
        )

    def ids(self, name: str, client: int, etag: str | None = None) -> Step:
        """Some of the products are favorites of the client, as it is on a page of a shop."""
        ids = [self._size.product_of(client, number) for number in range(filling.EACH + ASKED)][-ASKED:]
        ids[::4] = [self._size.product_of(client, number) for number in range(len(ids[::4]))]
        made = event("list_favorite_ids", client, query={"product_id": ",".join(ids)})
        if etag is None:
            return Step(name, "list_favorite_ids", made)
        made["headers"]["if-none-match"] = etag
        return Step(name, "list_favorite_ids", made, 304)

    def change(self, name: str, shopper: int) -> Step:
        numbers = range(2 * filling.EACH, 2 * filling.EACH + CHANGES)
        ids = [self._size.product_of(shopper, number) for number in numbers]
        adds = name.startswith("add")
        body = {
            "add": [{"product_id": product_id} for product_id in ids] if adds else [],
            "remove": [] if adds else ids,
        }
        return Step(name, "change_favorites", event("change_favorites", shopper, body=body))

    def _walk(self, process: FunctionProcess) -> str:
        """The cursor of the page of very many that is `DEEP` pages down."""
        cursor: dict[str, str] = {}
        for _ in range(DEEP - 1):
            answer = process.answer(self._list("a page", filling.CLIENT, **cursor))
            cursor = {"cursor": json.loads(answer["body"])["next_cursor"]}
        return cursor["cursor"]


def event(
    function: str,
    client: int,
    path: dict[str, str] | None = None,
    *,
    query: dict[str, str] | None = None,
    body: dict[str, Any] | None = None,
) -> Any:
    """The function's sample event, asked by the client of that number about something else."""
    made = json.loads((EVENTS / f"{function}.json").read_text())
    made["headers"]["authorization"] = token(filling.client_id(client))
    if path is not None:
        made["pathParameters"] = path
        for name, value in path.items():
            filled = made["routeKey"].partition(" ")[2].replace(f"{{{name}}}", value)
            made["rawPath"] = made["requestContext"]["http"]["path"] = filled
    if query is not None:
        made["queryStringParameters"] = query
        made["rawQueryString"] = "&".join(f"{name}={value}" for name, value in query.items())
    if body is not None:
        made["body"] = json.dumps(body)
    return made

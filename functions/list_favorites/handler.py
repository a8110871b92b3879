"""GET /favorites"""

from shared.platform import lean_imports

lean_imports.start()

import re
from typing import Annotated, Literal

from shared.accounts.access_tokens import Caller
from shared.favorites import listing
from shared.favorites.models import FavoritePage
from shared.web import responses, routing
from shared.web.parameters import NO_NUL, PLAIN_BOOLEAN, Cursor, Limit, Query
from shared.web.request import Event, Result
from shared.web.responses import Response

app = routing.resolver()

Sort = Annotated[
    Literal[
        "-favorited_at", "favorited_at", "price", "-price", "title", "-title", "price_change", "-price_change"
    ],
    Query(
        description="Newest first, or oldest; cheapest first, or dearest; by title, or from its end; what "
        "fell most in price first, or what rose most. No page skips or repeats a favorite while prices and "
        "titles stay; one whose price changes between two pages may be on both or on neither."
    ),
]
Available = Annotated[
    bool | None,
    PLAIN_BOOLEAN,
    Query(description="Only those that the catalog has still, or only those it no longer has."),
]
Category = Annotated[
    str | None, Query(max_length=200, pattern=NO_NUL, description="Only those of this category.")
]
PriceDropped = Annotated[
    bool | None,
    PLAIN_BOOLEAN,
    Query(description="Only those that cost less than when they were marked, or only the others."),
]


@app.get("/favorites", openapi_extensions=routing.errors(also=[304]))
def list_favorites(
    limit: Limit = 20,
    cursor: Cursor = None,
    sort: Sort = "-favorited_at",
    available: Available = None,
    category: Category = None,
    price_dropped: PriceDropped = None,
) -> Response[FavoritePage]:
    """List the caller's favorites."""
    page, next_cursor = listing.list_page(
        app.caller,
        limit=limit,
        cursor=cursor,
        sort=sort,
        available=available,
        category=category,
        price_dropped=price_dropped,
    )
    return responses.tagged(app, page, **responses.next_link(app, next_cursor))


_LIMIT = re.compile("[1-9][0-9]?|100")


def fast_path(caller: Caller, event: Event) -> Result | None:
    """What is asked for most: the first page, with no more said than how many."""
    parameters = event.get("queryStringParameters") or {}
    limit = parameters.get("limit", "20")
    if parameters.keys() - {"limit"} or not _LIMIT.fullmatch(limit):
        return None
    page, next_cursor = listing.list_page(caller, limit=int(limit), cursor=None, sort="-favorited_at")
    return responses.page_result(event, page, next_cursor)


lambda_handler = routing.entry_point(app, fast_path=fast_path)

"""GET /favorites"""

from shared.platform import lean_imports

lean_imports.start()

from typing import Annotated, Literal

from shared.accounts.access_tokens import Caller
from shared.favorites import listing
from shared.favorites.models import FavoritePage
from shared.web import request, responses, routing
from shared.web.parameters import NO_NUL, PAGE_SIZE, PLAIN_BOOLEAN, Cursor, Limit, Query
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
HasAlert = Annotated[
    bool | None, PLAIN_BOOLEAN, Query(description="Only those with an alert, or only the others.")
]


@app.get("/favorites", openapi_extensions=routing.errors(also=[304]))
def list_favorites(
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
    sort: Sort = listing.NEWEST_FIRST,
    available: Available = None,
    category: Category = None,
    price_dropped: PriceDropped = None,
    has_alert: HasAlert = None,
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
        has_alert=has_alert,
    )
    return responses.tagged(app, page, next_cursor=next_cursor)


def fast_path(caller: Caller, event: Event) -> Result | None:
    """The first page, newest first: the most frequent request."""
    limit = request.first_page_limit(event)
    if limit is None:
        return None
    page, next_cursor = listing.list_page(caller, limit=limit)
    return responses.tagged_result(event, page, next_cursor=next_cursor)


lambda_handler = routing.entry_point(app, fast_path=fast_path)

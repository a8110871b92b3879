"""GET /favorite-ids"""

from shared.platform import lean_imports

lean_imports.start()

from typing import Annotated

from shared.accounts.access_tokens import Caller
from shared.favorites import ids
from shared.favorites.limits import MAX_IDS_PAGE
from shared.favorites.models import FavoriteIds
from shared.web import request, responses, routing
from shared.web.parameters import MAX_REQUESTED, PLAIN_INTEGER, Cursor, Ge, Le, ProductRef, Query
from shared.web.request import Event, Result
from shared.web.responses import Response

app = routing.resolver()

Limit = Annotated[
    int, Ge(1), Le(MAX_IDS_PAGE), PLAIN_INTEGER, Query(description="The largest number of ids on a page.")
]
Asked = Annotated[
    list[ProductRef] | None,
    Query(
        max_length=MAX_REQUESTED,
        description=f"Only those of these products that are favorites, in this order: up to {MAX_REQUESTED}, "
        "repeated or separated by commas. One page has them all, regardless of `limit`; not with `cursor`.",
        examples=[["7", "12", "40"]],
    ),
]


@app.get("/favorite-ids", openapi_extensions=routing.errors(also=[304]))
def list_favorite_ids(
    limit: Limit = MAX_IDS_PAGE, cursor: Cursor = None, product_id: Asked = None
) -> Response[FavoriteIds]:
    """List the ids of the caller's favorites, newest first, or those among the requested products."""
    if_none_match = app.header("if-none-match")
    if product_id is None:
        found = ids.list_page(app.caller, limit=limit, cursor=cursor, if_none_match=if_none_match)
    else:
        app.refuse_together("product_id", "cursor")
        found = ids.of_products(app.caller, product_id, if_none_match=if_none_match)
    return responses.tagged(app, found.body, etag=found.etag, next_cursor=found.next_cursor)


def fast_path(caller: Caller, event: Event) -> Result | None:
    """Which of these products are favorites: what every page of a shop requests."""
    product_ids = request.requested_ids(event.get("queryStringParameters") or {})
    if product_ids is None:
        return None
    found = ids.of_products(caller, product_ids, if_none_match=request.header(event, "if-none-match"))
    return responses.tagged_result(event, found.body, etag=found.etag)


lambda_handler = routing.entry_point(app, fast_path=fast_path)

"""GET /favorites"""

from typing import Annotated, Literal

from shared import favorites, http
from shared.http import Query, Response
from shared.models import Favorite, Page

app = http.resolver()

Sort = Annotated[Literal["-favorited_at", "favorited_at"], Query(description="Newest or oldest first.")]


@app.get("/favorites", openapi_extensions=http.refusals())
def list_favorites(
    limit: http.Limit = 20, cursor: http.Cursor = None, sort: Sort = "-favorited_at"
) -> Response[Page[Favorite]]:
    """List the caller's favourites."""
    page, next_cursor = favorites.list_page(http.caller(app), limit=limit, cursor=cursor, sort=sort)
    return http.page(app, page, next_cursor)


lambda_handler = http.entry_point(app)

"""GET /favorites"""

from typing import Annotated, Literal

from shared import web
from shared.favorites import marks
from shared.favorites.models import Favorite
from shared.models import Page
from shared.web import Query, Response

app = web.resolver()

Sort = Annotated[Literal["-favorited_at", "favorited_at"], Query(description="Newest or oldest first.")]


@app.get("/favorites", openapi_extensions=web.refusals())
def list_favorites(
    limit: web.Limit = 20, cursor: web.Cursor = None, sort: Sort = "-favorited_at"
) -> Response[Page[Favorite]]:
    """List the caller's favorites."""
    page, next_cursor = marks.list_page(web.caller(app), limit=limit, cursor=cursor, sort=sort)
    return web.page(app, page, next_cursor)


lambda_handler = web.entry_point(app)

"""DELETE /favorites/{product_id}"""

from shared import web
from shared.errors import NotFavorite, TooManyChanges, UnknownProduct
from shared.favorites import marks
from shared.web import Response

app = web.resolver()


@app.delete(
    "/favorites/<product_id>",
    status_code=204,
    openapi_extensions=web.refusals(NotFavorite, UnknownProduct, TooManyChanges),
)
def remove_favorite(product_id: web.ProductRef) -> Response[None]:
    """Unmark one of the caller's favorites."""
    marks.remove(web.caller(app), product_id)
    return web.no_content()


lambda_handler = web.entry_point(app)

"""DELETE /favorites/{product_id}"""

from shared import favorites, http
from shared.errors import NotFavorite, UnknownProduct
from shared.http import Response

app = http.resolver()


@app.delete(
    "/favorites/<product_id>", status_code=204, openapi_extensions=http.refusals(NotFavorite, UnknownProduct)
)
def remove_favorite(product_id: http.ProductRef) -> Response[None]:
    """Unmark one of the caller's favourites."""
    favorites.remove(http.caller(app), product_id)
    return http.no_content()


lambda_handler = http.entry_point(app)

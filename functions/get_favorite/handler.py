"""GET /favorites/{product_id}"""

from shared import favorites, http
from shared.errors import NotFavorite, UnknownProduct
from shared.http import Response
from shared.models import Favorite

app = http.resolver()


@app.get("/favorites/<product_id>", openapi_extensions=http.refusals(NotFavorite, UnknownProduct))
def get_favorite(product_id: http.ProductRef) -> Response[Favorite]:
    """Tell whether a product is one of the caller's favourites."""
    return http.ok(favorites.get(http.caller(app), product_id))


lambda_handler = http.entry_point(app)

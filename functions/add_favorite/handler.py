"""PUT /favorites/{product_id}"""

from shared import web
from shared.errors import CatalogUnavailable, FavoritesFull, TooManyChanges, UnknownProduct
from shared.favorites import marks
from shared.favorites.models import Favorite
from shared.web import Response

app = web.resolver()


@app.put(
    "/favorites/<product_id>",
    status_code=201,
    openapi_extensions=web.refusals(
        UnknownProduct, FavoritesFull, TooManyChanges, CatalogUnavailable, also=[200]
    ),
)
def add_favorite(product_id: web.ProductRef) -> Response[Favorite]:
    """Mark a product as a favorite of the caller; repeating it changes nothing."""
    favorite, created = marks.add(web.caller(app), product_id)
    return web.created(favorite) if created else web.ok(favorite)


lambda_handler = web.entry_point(app)

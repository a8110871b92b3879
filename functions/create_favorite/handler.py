"""POST /favorites"""

from shared import web
from shared.errors import AlreadyFavorite, CatalogUnavailable, FavoritesFull, TooManyChanges, UnknownProduct
from shared.favorites import marks
from shared.favorites.models import Favorite, NewFavorite
from shared.web import Response

app = web.resolver()


@app.post(
    "/favorites",
    status_code=201,
    openapi_extensions=web.refusals(
        UnknownProduct, AlreadyFavorite, FavoritesFull, TooManyChanges, CatalogUnavailable
    ),
)
def create_favorite(new: NewFavorite) -> Response[Favorite]:
    """Mark a product as a favorite of the caller; refused when it is one."""
    favorite = marks.create(web.caller(app), new.product_id)
    return web.created(favorite, location=f"/favorites/{new.product_id}")


lambda_handler = web.entry_point(app)

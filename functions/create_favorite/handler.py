"""POST /favorites"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import AlreadyFavorite, CatalogUnavailable, FavoritesFull, TooManyChanges, UnknownProduct
from shared.favorites import items
from shared.favorites.models import Favorite, NewFavorite
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver()


@app.post(
    "/favorites",
    status_code=201,
    openapi_extensions=routing.errors(
        UnknownProduct, AlreadyFavorite, FavoritesFull, TooManyChanges, CatalogUnavailable
    ),
)
def create_favorite(new: NewFavorite) -> Response[Favorite]:
    """Mark a product as a favorite of the caller; refused if it already is one."""
    favorite = items.create(app.caller, new.product_id)
    return responses.created(favorite, location=f"/favorites/{new.product_id}")


lambda_handler = routing.entry_point(app)

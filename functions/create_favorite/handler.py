"""POST /favorites"""

from shared import favorites, http
from shared.errors import AlreadyFavorite, CatalogUnavailable, UnknownProduct
from shared.http import Response
from shared.models import Favorite, NewFavorite

app = http.resolver()


@app.post(
    "/favorites",
    status_code=201,
    openapi_extensions=http.refusals(UnknownProduct, AlreadyFavorite, CatalogUnavailable),
)
def create_favorite(new: NewFavorite) -> Response[Favorite]:
    """Mark a product as a favourite of the caller; refused when it is one."""
    favorite = favorites.create(http.caller(app), new.product_id)
    return http.created(favorite, location=f"/favorites/{new.product_id}")


lambda_handler = http.entry_point(app)

"""PUT /favorites/{product_id}"""

from shared import favorites, http
from shared.errors import CatalogUnavailable, UnknownProduct
from shared.http import Response
from shared.models import Favorite

app = http.resolver()


@app.put(
    "/favorites/<product_id>",
    status_code=201,
    openapi_extensions=http.refusals(UnknownProduct, CatalogUnavailable, also=[200]),
)
def add_favorite(product_id: http.ProductRef) -> Response[Favorite]:
    """Mark a product as a favourite of the caller; repeating it changes nothing."""
    favorite, created = favorites.add(http.caller(app), product_id)
    return http.created(favorite) if created else http.ok(favorite)


lambda_handler = http.entry_point(app)

"""PUT /favorites/{product_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import (
    CatalogUnavailable,
    ChangedMeanwhile,
    FavoritesFull,
    TooManyChanges,
    UnknownProduct,
)
from shared.favorites import items
from shared.favorites.models import Favorite
from shared.web import responses, routing
from shared.web.parameters import ProductRef
from shared.web.responses import Response

app = routing.resolver()


@app.put(
    "/favorites/<product_id>",
    status_code=201,
    openapi_extensions=routing.errors(
        UnknownProduct, ChangedMeanwhile, FavoritesFull, TooManyChanges, CatalogUnavailable, also=[200]
    ),
)
def add_favorite(product_id: ProductRef) -> Response[Favorite]:
    """Mark a product as a favorite of the caller; repeating it changes nothing."""
    favorite, created = items.add(app.caller, product_id, app.preconditions)
    return responses.created(favorite) if created else responses.ok(favorite)


lambda_handler = routing.entry_point(app)

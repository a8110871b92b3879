"""PATCH /favorites/{product_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import ChangedMeanwhile, ImpossibleAlert, NotFavorite, UnknownProduct
from shared.favorites import alerts
from shared.favorites.models import Favorite, FavoriteUpdate
from shared.web import responses, routing
from shared.web.parameters import ProductRef
from shared.web.responses import Response

app = routing.resolver()


@app.patch(
    "/favorites/<product_id>",
    openapi_extensions=routing.errors(NotFavorite, UnknownProduct, ImpossibleAlert, ChangedMeanwhile),
)
def update_favorite(product_id: ProductRef, changes: FavoriteUpdate) -> Response[Favorite]:
    """Set the alert of one of the caller's favorites, or take it away (a merge patch)."""
    return responses.changed(alerts.update(app.caller, product_id, changes, app.preconditions))


lambda_handler = routing.entry_point(app)

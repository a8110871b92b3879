"""GET /favorites/{product_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import NotFavorite, UnknownProduct
from shared.favorites import items
from shared.favorites.models import Favorite
from shared.web import responses, routing
from shared.web.parameters import ProductRef
from shared.web.responses import Response

app = routing.resolver()


@app.get(
    "/favorites/<product_id>", openapi_extensions=routing.errors(NotFavorite, UnknownProduct, also=[304])
)
def get_favorite(product_id: ProductRef) -> Response[Favorite]:
    """Read one of the caller's favorites, by its product."""
    return responses.tagged(app, items.get(app.caller, product_id))


lambda_handler = routing.entry_point(app)

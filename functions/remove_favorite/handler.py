"""DELETE /favorites/{product_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import ChangedMeanwhile, NotFavorite, TooManyChanges, UnknownProduct
from shared.favorites import items
from shared.web import responses, routing
from shared.web.parameters import ProductRef
from shared.web.responses import Response

app = routing.resolver()


@app.delete(
    "/favorites/<product_id>",
    status_code=204,
    openapi_extensions=routing.errors(NotFavorite, UnknownProduct, ChangedMeanwhile, TooManyChanges),
)
def remove_favorite(product_id: ProductRef) -> Response[None]:
    """Unmark one of the caller's favorites."""
    items.remove(app.caller, product_id, app.preconditions)
    return responses.no_content()


lambda_handler = routing.entry_point(app)

"""GET and HEAD /favorites/{product_id}"""

from shared import web
from shared.errors import NotFavorite, UnknownProduct
from shared.favorites import marks
from shared.favorites.models import Favorite
from shared.web import Response

app = web.resolver()


@app.get("/favorites/<product_id>", openapi_extensions=web.refusals(NotFavorite, UnknownProduct, also=[304]))
def get_favorite(product_id: web.ProductRef) -> Response[Favorite]:
    """Tell whether a product is one of the caller's favorites."""
    return web.tagged(app, marks.get(web.caller(app), product_id))


@app.head("/favorites/<product_id>", openapi_extensions=web.refusals(NotFavorite, UnknownProduct, also=[304]))
def head_favorite(product_id: web.ProductRef) -> Response[Favorite]:
    """Tell the same without a body."""
    return get_favorite(product_id)


lambda_handler = web.entry_point(app)

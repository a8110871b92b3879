"""GET and HEAD /products/{product_id}, when the cache has no answer."""

from shared import web
from shared.errors import CatalogUnavailable, UnknownProduct
from shared.products import demand
from shared.products.models import Product
from shared.web import Response

app = web.resolver(public=True)


@app.get(
    "/products/<product_id>", openapi_extensions=web.refusals(UnknownProduct, CatalogUnavailable, also=[304])
)
def get_product(product_id: web.ProductRef) -> Response[Product]:
    """Read a product."""
    return web.product(app, demand.detail(product_id))


@app.head(
    "/products/<product_id>", openapi_extensions=web.refusals(UnknownProduct, CatalogUnavailable, also=[304])
)
def head_product(product_id: web.ProductRef) -> Response[Product]:
    """Tell the same without a body."""
    return get_product(product_id)


lambda_handler = web.entry_point(app)

"""GET and HEAD /products/{product_id}, when the cache has no answer."""

from shared.errors import CatalogUnavailable, UnknownProduct
from shared.products import read_through
from shared.products.models import Product
from shared.web import responses, routing
from shared.web.parameters import ProductRef
from shared.web.responses import Response

app = routing.resolver(public=True)

ERRORS = routing.errors(UnknownProduct, CatalogUnavailable, also=[304])


@app.get(
    "/products/<product_id>",
    openapi_extensions=ERRORS,
)
def get_product(product_id: ProductRef) -> Response[Product]:
    """Read a product."""
    return responses.product(app, read_through.detail(product_id))


@app.head(
    "/products/<product_id>",
    openapi_extensions=ERRORS,
)
def head_product(product_id: ProductRef) -> Response[Product]:
    """Tell the same without a body."""
    return get_product(product_id)

"""GET /products/{product_id}, when the cache has no answer."""

from shared.errors import CatalogUnavailable, UnknownProduct
from shared.products import read_through
from shared.products.models import Product
from shared.web import responses, routing
from shared.web.parameters import ProductRef
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.get(
    "/products/<product_id>",
    openapi_extensions=routing.errors(UnknownProduct, CatalogUnavailable, also=[304]),
)
def get_product(product_id: ProductRef) -> Response[Product]:
    """Read a product."""
    return responses.product(app, read_through.detail(product_id))

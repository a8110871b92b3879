"""GET /products/{product_id}, when the cache has not settled it."""

from shared import http, products
from shared.errors import CatalogUnavailable, UnknownProduct
from shared.http import Response
from shared.models import Product

app = http.resolver(public=True)


@app.get("/products/<product_id>", openapi_extensions=http.refusals(UnknownProduct, CatalogUnavailable))
def get_product(product_id: http.ProductRef) -> Response[Product]:
    """Read a product."""
    return http.product(app, products.detail(product_id))


lambda_handler = http.entry_point(app)

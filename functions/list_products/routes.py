"""GET /products, when the cache has not settled it."""

from typing import Annotated, Literal

from shared import http, products
from shared.errors import CatalogUnavailable
from shared.http import Query, Response
from shared.models import Page, Product

app = http.resolver(public=True)

Category = Annotated[
    str | None,
    Query(max_length=200, pattern=http.NO_NUL, description="Only products of exactly this category."),
]
Sort = Annotated[
    Literal["price", "-price", "title", "-title"] | None,
    Query(description="The order, `-` for descending; without it, the catalogue's own."),
]


@app.get("/products", openapi_extensions=http.refusals(CatalogUnavailable))
def list_products(
    limit: http.Limit = 20, cursor: http.Cursor = None, category: Category = None, sort: Sort = None
) -> Response[Page[Product]]:
    """List the products of the catalogue."""
    return http.product(app, products.page(limit=limit, cursor=cursor, category=category, sort=sort))


lambda_handler = http.entry_point(app)

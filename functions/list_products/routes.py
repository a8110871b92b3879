"""GET /products, when the cache has not settled it."""

from typing import Annotated, Literal

from shared import web
from shared.errors import CatalogUnavailable
from shared.models import Page
from shared.products import demand
from shared.products.models import Product
from shared.web import Query, Response

app = web.resolver(public=True)

Category = Annotated[
    str | None,
    Query(max_length=200, pattern=web.NO_NUL, description="Only products of exactly this category."),
]
Sort = Annotated[
    Literal["price", "-price", "title", "-title"] | None,
    Query(description="The order, `-` for descending; without it, the catalog's own."),
]


@app.get("/products", openapi_extensions=web.refusals(CatalogUnavailable))
def list_products(
    limit: web.Limit = 20, cursor: web.Cursor = None, category: Category = None, sort: Sort = None
) -> Response[Page[Product]]:
    """List the products of the catalog."""
    return web.product(app, demand.page(limit=limit, cursor=cursor, category=category, sort=sort))


lambda_handler = web.entry_point(app)

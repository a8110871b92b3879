"""GET /products, when the cache has no answer."""

from typing import Annotated, Literal

from shared.errors import CatalogUnavailable
from shared.models import Page
from shared.products import by_ids, list_pages
from shared.products.models import AskedProducts, Product
from shared.web import responses, routing
from shared.web.parameters import MAX_REQUESTED, NO_NUL, PAGE_SIZE, Cursor, Limit, ProductRef, Query
from shared.web.responses import Response

app = routing.resolver(public=True)

Category = Annotated[
    str | None,
    Query(max_length=200, pattern=NO_NUL, description="Only products of exactly this category."),
]
Sort = Annotated[
    Literal["price", "-price", "title", "-title"] | None,
    Query(description="The order, `-` for descending; without it, the catalog's own."),
]
Asked = Annotated[
    list[ProductRef] | None,
    Query(
        max_length=MAX_REQUESTED,
        description=f"These products, in this order: up to {MAX_REQUESTED} ids, repeated or separated by "
        "commas. The answer has all of them in `items` and `missing`, regardless of `limit`; not with "
        "`cursor`, `category` or `sort`.",
        examples=[["7", "12", "40"]],
    ),
]


@app.get("/products", openapi_extensions=routing.errors(CatalogUnavailable, also=[304]))
def list_products(
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
    category: Category = None,
    sort: Sort = None,
    product_id: Asked = None,
) -> Response[Page[Product] | AskedProducts]:
    """List the products of the catalog, or products by their ids."""
    if product_id is None:
        return responses.product(
            app, list_pages.page(limit=limit, cursor=cursor, category=category, sort=sort)
        )
    app.refuse_together("product_id", "cursor", "category", "sort")
    return responses.product(app, by_ids.several(list(dict.fromkeys(product_id))))

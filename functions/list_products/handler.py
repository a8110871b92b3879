"""GET /products: a cached page is sent before anything else is loaded; the rest is in `routes`."""

from shared import product_answers

lambda_handler = product_answers.entry_point(
    product_answers.cached_page, otherwise="functions.list_products.routes"
)

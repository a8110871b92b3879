"""GET /products/{product_id}: a cached product is sent before anything else is loaded; see `routes`."""

from shared import product_answers

lambda_handler = product_answers.entry_point(
    product_answers.cached_detail, otherwise="functions.get_product.routes"
)

"""GET, HEAD /products/{product_id}: a cached product is sent before anything else is loaded; see `routes`."""

from shared.products import answers

lambda_handler = answers.entry_point(answers.cached_detail, otherwise="functions.get_product.routes")

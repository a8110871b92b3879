"""GET /products: a cached page is sent before anything else is loaded; the rest is in `routes`."""

from shared.products import answers

lambda_handler = answers.entry_point(answers.cached_page, otherwise="functions.list_products.routes")

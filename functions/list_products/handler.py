"""GET /products: a cached page is sent before anything else is loaded; the rest is in `routes`."""

from shared.platform import lean_imports

lean_imports.start()

from shared.web.product_answers import cached_page, entry_point

lambda_handler = entry_point(cached_page, otherwise="functions.list_products.routes")

"""GET /products/{product_id}: a cached product is sent before anything else is loaded; see `routes`."""

from shared.platform import lean_imports

lean_imports.start()

from shared.web.product_answers import cached_detail, entry_point

lambda_handler = entry_point(cached_detail, otherwise="functions.get_product.routes")

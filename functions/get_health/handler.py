"""GET /health"""

from shared import health, web
from shared.models import Health
from shared.web import Response

app = web.resolver(public=True)


@app.get("/health", openapi_extensions=web.refusals(also=[503]))
def get_health() -> Response[Health]:
    """Tell the state of the service, its database, its cache and the catalog."""
    return web.health(app, *health.check())


lambda_handler = web.entry_point(app)

"""GET /health"""

from shared.platform import lean_imports

lean_imports.start()

from shared import health
from shared.models import Health
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.get("/health", openapi_extensions=routing.errors(also=[503]))
def get_health() -> Response[Health]:
    """Read the state of the service, its database, its cache and the catalog."""
    return responses.health(app, *health.check())


lambda_handler = routing.entry_point(app)

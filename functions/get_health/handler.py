"""GET /health"""

from shared import health, http
from shared.http import Response
from shared.models import Health

app = http.resolver(public=True)


@app.get("/health", openapi_extensions=http.refusals(also=[503]))
def get_health() -> Response[Health]:
    """Tell how the service and what it stands on are."""
    found = health.check()
    return http.health(found)


lambda_handler = http.entry_point(app)

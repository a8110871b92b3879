"""GET /shares"""

from shared.platform import lean_imports

lean_imports.start()

from shared.favorites import shares
from shared.favorites.models import Shares
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver()


@app.get("/shares")
def list_shares() -> Response[Shares]:
    """List the caller's shares, with their links."""
    return responses.ok(shares.list_all(app.caller), **responses.NOT_STORED)


lambda_handler = routing.entry_point(app)

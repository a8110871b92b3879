"""GET /clients/{client_id}"""

from shared import web
from shared.accounts import clients
from shared.accounts.models import Client
from shared.errors import Forbidden, UnknownClient
from shared.web import Response

app = web.resolver()


@app.get("/clients/<client_id>", openapi_extensions=web.refusals(Forbidden, UnknownClient, also=[304]))
def get_client(client_id: web.ClientRef) -> Response[Client]:
    """Read a client: yourself, or anybody as an admin."""
    return web.tagged(app, clients.get(web.caller(app), client_id))


lambda_handler = web.entry_point(app)

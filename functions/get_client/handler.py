"""GET /clients/{client_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts import profiles
from shared.accounts.models import Client
from shared.errors import Forbidden, UnknownClient
from shared.web import responses, routing
from shared.web.parameters import ClientRef
from shared.web.responses import Response

app = routing.resolver()


@app.get("/clients/<client_id>", openapi_extensions=routing.errors(Forbidden, UnknownClient, also=[304]))
def get_client(client_id: ClientRef) -> Response[Client]:
    """Read a client: yourself, or any client as an admin."""
    return responses.tagged(app, profiles.get(app.caller, client_id))


lambda_handler = routing.entry_point(app)

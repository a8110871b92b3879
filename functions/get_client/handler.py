"""GET /clients/{client_id}"""

from shared import clients, http
from shared.errors import Forbidden, UnknownClient
from shared.http import Response
from shared.models import Client

app = http.resolver()


@app.get("/clients/<client_id>", openapi_extensions=http.refusals(Forbidden, UnknownClient))
def get_client(client_id: http.ClientRef) -> Response[Client]:
    """Read a client: oneself, or as an admin anybody."""
    return http.client(app, clients.get(http.caller(app), client_id))


lambda_handler = http.entry_point(app)

"""GET /clients/{client_id}/export"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts import exports
from shared.accounts.exports import Export
from shared.errors import Forbidden, UnknownClient
from shared.web import responses, routing
from shared.web.parameters import ClientRef
from shared.web.responses import Response

app = routing.resolver()


@app.get("/clients/<client_id>/export", openapi_extensions=routing.errors(Forbidden, UnknownClient))
def export_client(client_id: ClientRef) -> Response[Export]:
    """Download all data about a client: yourself, or any client as an admin."""
    return responses.attachment(exports.export(app.caller, client_id), "favorites-export.json")


lambda_handler = routing.entry_point(app)

"""GET /clients/{client_id}/export"""

from shared import web
from shared.accounts import exports
from shared.accounts.exports import Export
from shared.errors import Forbidden, UnknownClient
from shared.web import Response

app = web.resolver()


@app.get("/clients/<client_id>/export", openapi_extensions=web.refusals(Forbidden, UnknownClient))
def export_client(client_id: web.ClientRef) -> Response[Export]:
    """Download everything that is held about a client: yourself, or anybody as an admin."""
    return web.attachment(exports.export(web.caller(app), client_id), "favorites-export.json")


lambda_handler = web.entry_point(app)

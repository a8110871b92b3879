"""DELETE /clients/{client_id}"""

from shared import web
from shared.accounts import clients
from shared.errors import Forbidden, LastAdmin, LogInTooLongAgo, UnknownClient
from shared.web import Response

app = web.resolver()


@app.delete(
    "/clients/<client_id>",
    status_code=204,
    openapi_extensions=web.refusals(Forbidden, UnknownClient, LastAdmin, LogInTooLongAgo),
)
def delete_client(client_id: web.ClientRef) -> Response[None]:
    """Remove a client with all favorites and sessions: yourself, or anybody as an admin."""
    clients.remove(web.caller(app), client_id)
    return web.no_content()


lambda_handler = web.entry_point(app, uses=["shared.accounts.login_attempts"])

"""DELETE /clients/{client_id}/sessions"""

from shared import web
from shared.accounts import clients
from shared.errors import Forbidden, UnknownClient
from shared.web import Response

app = web.resolver()


@app.delete(
    "/clients/<client_id>/sessions",
    status_code=204,
    openapi_extensions=web.refusals(Forbidden, UnknownClient),
)
def end_sessions(client_id: web.ClientRef) -> Response[None]:
    """Log out everywhere: end all sessions and access tokens, your own or anybody's as an admin."""
    clients.log_out_everywhere(web.caller(app), client_id)
    return web.no_content()


lambda_handler = web.entry_point(app, uses=["shared.accounts.sessions"])

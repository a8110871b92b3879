"""DELETE /clients/{client_id}/sessions"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts.sessions import everywhere
from shared.errors import Forbidden, UnknownClient
from shared.web import responses, routing
from shared.web.parameters import ClientRef
from shared.web.responses import Response

app = routing.resolver()


@app.delete(
    "/clients/<client_id>/sessions",
    status_code=204,
    openapi_extensions=routing.errors(Forbidden, UnknownClient),
)
def end_sessions(client_id: ClientRef) -> Response[None]:
    """Log out everywhere: end all sessions and access tokens, your own or as an admin any client's."""
    everywhere.log_out(app.caller, client_id)
    return responses.no_content()


lambda_handler = routing.entry_point(app)

"""DELETE /clients/{client_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts import removal
from shared.errors import ChangedMeanwhile, Forbidden, LastAdmin, LogInTooLongAgo, UnknownClient
from shared.web import responses, routing
from shared.web.parameters import ClientRef
from shared.web.responses import Response

app = routing.resolver()


@app.delete(
    "/clients/<client_id>",
    status_code=204,
    openapi_extensions=routing.errors(Forbidden, UnknownClient, ChangedMeanwhile, LastAdmin, LogInTooLongAgo),
)
def delete_client(client_id: ClientRef) -> Response[None]:
    """Remove a client with all favorites and sessions: yourself, or any client as an admin."""
    removal.remove(app.caller, client_id, app.preconditions)
    return responses.no_content()


lambda_handler = routing.entry_point(app)

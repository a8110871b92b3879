"""DELETE /clients/{client_id}"""

from shared import clients, http
from shared.errors import Forbidden, UnknownClient
from shared.http import Response

app = http.resolver()


@app.delete(
    "/clients/<client_id>", status_code=204, openapi_extensions=http.refusals(Forbidden, UnknownClient)
)
def delete_client(client_id: http.ClientRef) -> Response[None]:
    """Remove a client with all favourites and sessions: oneself, or as an admin anybody."""
    clients.remove(http.caller(app), client_id)
    return http.no_content()


lambda_handler = http.entry_point(app)

"""PATCH /clients/{client_id}"""

from shared import clients, http
from shared.errors import (
    ChangedMeanwhile,
    EmailTaken,
    Forbidden,
    TooManyAttempts,
    UnknownClient,
    WrongPassword,
)
from shared.http import Response
from shared.models import Client, ClientChanges

app = http.resolver()


@app.patch(
    "/clients/<client_id>",
    openapi_extensions=http.refusals(
        Forbidden, WrongPassword, UnknownClient, EmailTaken, ChangedMeanwhile, TooManyAttempts
    ),
)
def update_client(client_id: http.ClientRef, changes: ClientChanges) -> Response[Client]:
    """Change a client's name, e-mail or password (a merge patch); a new password ends all sessions."""
    if_match = http.header(app, "if-match")
    client = clients.update(http.caller(app), client_id, changes, if_match=if_match)
    return http.ok(client, ETag=http.client_etag(client))


lambda_handler = http.entry_point(app)

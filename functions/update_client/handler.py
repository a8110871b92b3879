"""PATCH /clients/{client_id}"""

from shared import web
from shared.accounts import clients
from shared.accounts.models import Client, ClientChanges
from shared.errors import (
    ChangedMeanwhile,
    EmailTaken,
    Forbidden,
    TooManyAttempts,
    UnknownClient,
    WrongPassword,
)
from shared.web import Response

app = web.resolver()


@app.patch(
    "/clients/<client_id>",
    openapi_extensions=web.refusals(
        Forbidden, WrongPassword, UnknownClient, EmailTaken, ChangedMeanwhile, TooManyAttempts
    ),
)
def update_client(client_id: web.ClientRef, changes: ClientChanges) -> Response[Client]:
    """Change a client's name, e-mail or password (a merge patch); a new password ends all sessions."""
    if_match = web.header(app, "if-match")
    return web.changed(
        clients.update(web.caller(app), client_id, changes, if_match=if_match, source=web.source(app))
    )


lambda_handler = web.entry_point(app, uses=["shared.accounts.sessions"])

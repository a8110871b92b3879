"""PATCH /clients/{client_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts import profile_changes
from shared.accounts.models import Client, ClientChanges
from shared.errors import (
    ChangedMeanwhile,
    EmailTaken,
    Forbidden,
    LogInTooLongAgo,
    TooManyAttempts,
    UnknownClient,
    WrongPassword,
)
from shared.web import responses, routing
from shared.web.parameters import ClientRef
from shared.web.responses import Response

app = routing.resolver()


@app.patch(
    "/clients/<client_id>",
    openapi_extensions=routing.errors(
        Forbidden,
        WrongPassword,
        UnknownClient,
        EmailTaken,
        ChangedMeanwhile,
        LogInTooLongAgo,
        TooManyAttempts,
    ),
)
def update_client(client_id: ClientRef, changes: ClientChanges) -> Response[Client]:
    """Change a client's name, e-mail or password (a merge patch); a new password ends all sessions."""
    return responses.changed(
        profile_changes.update(app.caller, client_id, changes, app.preconditions, source_ip=app.source_ip)
    )


lambda_handler = routing.entry_point(app)

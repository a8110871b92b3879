"""POST /clients"""

from shared import web
from shared.accounts import clients
from shared.accounts.models import Client, NewClient
from shared.errors import EmailTaken, TooManyAttempts
from shared.web import Response

app = web.resolver(public=True)


@app.post("/clients", status_code=201, openapi_extensions=web.refusals(EmailTaken, TooManyAttempts))
def create_client(new: NewClient) -> Response[Client]:
    """Register as a client."""
    client = clients.register(new, source=web.source(app))
    return web.created(client, location=f"/clients/{client.client_id}")


lambda_handler = web.entry_point(app, uses=["argon2", "shared.accounts.registrations"])

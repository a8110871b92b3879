"""POST /clients"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts import registration
from shared.accounts.models import Client, NewClient
from shared.errors import EmailTaken, TooManyAttempts
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.post("/clients", status_code=201, openapi_extensions=routing.errors(EmailTaken, TooManyAttempts))
def create_client(new: NewClient) -> Response[Client]:
    """Register as a client."""
    client = registration.register(new, source_ip=app.source_ip)
    return responses.created(client, location=f"/clients/{client.client_id}")


lambda_handler = routing.entry_point(app, preload=["argon2"])

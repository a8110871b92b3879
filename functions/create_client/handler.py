"""POST /clients"""

from shared import clients, http
from shared.errors import EmailTaken
from shared.http import Response
from shared.models import Client, NewClient

app = http.resolver(public=True)


@app.post("/clients", status_code=201, openapi_extensions=http.refusals(EmailTaken))
def create_client(new: NewClient) -> Response[Client]:
    """Register as a client."""
    client = clients.register(new)
    return http.created(client, location=f"/clients/{client.client_id}")


lambda_handler = http.entry_point(app, uses=["argon2"])

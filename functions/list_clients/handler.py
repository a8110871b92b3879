"""GET /clients"""

from shared.platform import lean_imports

lean_imports.start()

from typing import Annotated

from shared.accounts import profiles
from shared.accounts.models import Client
from shared.errors import Forbidden
from shared.models import Page
from shared.web import responses, routing
from shared.web.parameters import NO_NUL, PAGE_SIZE, Cursor, Limit, Query
from shared.web.responses import Response

app = routing.resolver()

EmailFilter = Annotated[
    str | None,
    Query(
        max_length=254, pattern=NO_NUL, description="Only the client with this e-mail; case does not matter."
    ),
]


@app.get("/clients", openapi_extensions=routing.errors(Forbidden))
def list_clients(
    limit: Limit = PAGE_SIZE, cursor: Cursor = None, email: EmailFilter = None
) -> Response[Page[Client]]:
    """List the clients, oldest first; for admins."""
    page = profiles.list_all(app.caller, limit=limit, cursor=cursor, email=email)
    return responses.page(app, page, page.next_cursor)


lambda_handler = routing.entry_point(app)

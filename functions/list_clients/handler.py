"""GET /clients"""

from typing import Annotated

from shared import web
from shared.accounts import clients
from shared.accounts.models import Client
from shared.errors import Forbidden
from shared.models import Page
from shared.web import Query, Response

app = web.resolver()

EmailFilter = Annotated[
    str | None,
    Query(
        max_length=254, pattern=web.NO_NUL, description="Only the client with this e-mail, in whatever case."
    ),
]


@app.get("/clients", openapi_extensions=web.refusals(Forbidden))
def list_clients(
    limit: web.Limit = 20, cursor: web.Cursor = None, email: EmailFilter = None
) -> Response[Page[Client]]:
    """List the clients, oldest first; for admins."""
    page = clients.list_all(web.caller(app), limit=limit, cursor=cursor, email=email)
    return web.page(app, page, page.next_cursor)


lambda_handler = web.entry_point(app)

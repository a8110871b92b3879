"""GET /clients"""

from typing import Annotated

from shared import clients, http
from shared.errors import Forbidden
from shared.http import Query, Response
from shared.models import Client, Page

app = http.resolver()

EmailFilter = Annotated[
    str | None,
    Query(
        max_length=254, pattern=http.NO_NUL, description="Only the client with this e-mail, in whatever case."
    ),
]


@app.get("/clients", openapi_extensions=http.refusals(Forbidden))
def list_clients(
    limit: http.Limit = 20, cursor: http.Cursor = None, email: EmailFilter = None
) -> Response[Page[Client]]:
    """List the clients, oldest first; for admins."""
    page = clients.list_all(http.caller(app), limit=limit, cursor=cursor, email=email)
    return http.page(app, page, page.next_cursor)


lambda_handler = http.entry_point(app)

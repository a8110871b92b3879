"""GET /shared-favorites/{token}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import DatabaseUnavailable, SecretUnavailable, TooManyAttempts, UnknownShare
from shared.favorites import shared_lists
from shared.favorites.models import SharedFavorites
from shared.web import responses, routing
from shared.web.parameters import PAGE_SIZE, Cursor, Limit, ShareToken
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.get(
    "/shared-favorites/<token>",
    openapi_extensions=routing.errors(UnknownShare, TooManyAttempts, DatabaseUnavailable, SecretUnavailable),
)
def list_shared_favorites(
    token: ShareToken, limit: Limit = PAGE_SIZE, cursor: Cursor = None
) -> Response[SharedFavorites]:
    """List the products of a shared list, newest favorite first; for everyone who has the link."""
    page, next_cursor = shared_lists.list_page(token, source_ip=app.source_ip, limit=limit, cursor=cursor)
    return responses.page(app, page, next_cursor, **responses.UNLISTED)


lambda_handler = routing.entry_point(app)

"""POST /shares"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import SharesFull
from shared.favorites import shares
from shared.favorites.models import NewShare, Share
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver()


@app.post("/shares", status_code=201, openapi_extensions=routing.errors(SharesFull))
def create_share(new: NewShare) -> Response[Share]:
    """Share the caller's current and future favorites with everyone who has the link."""
    share = shares.create(app.caller, new)
    return responses.created(share, location=share.path, **responses.NOT_STORED)


lambda_handler = routing.entry_point(app)

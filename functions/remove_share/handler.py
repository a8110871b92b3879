"""DELETE /shares/{share_id}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import UnknownShare
from shared.favorites import shares
from shared.web import responses, routing
from shared.web.parameters import ShareRef
from shared.web.responses import Response

app = routing.resolver()


@app.delete("/shares/<share_id>", status_code=204, openapi_extensions=routing.errors(UnknownShare))
def remove_share(share_id: ShareRef) -> Response[None]:
    """End one of the caller's shares at once."""
    shares.remove(app.caller, share_id)
    return responses.no_content()


lambda_handler = routing.entry_point(app)

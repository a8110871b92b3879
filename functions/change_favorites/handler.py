"""POST /favorite-changes"""

from shared.platform import lean_imports

lean_imports.start()

from shared.errors import TooManyChanges
from shared.favorites import bulk
from shared.favorites.models import ChangedFavorites, FavoriteChanges
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver()


@app.post("/favorite-changes", openapi_extensions=routing.errors(TooManyChanges))
def change_favorites(wanted: FavoriteChanges) -> Response[ChangedFavorites]:
    """Mark and unmark up to 100 products of the caller; repeating it changes nothing."""
    return responses.ok(bulk.change(app.caller, wanted))


lambda_handler = routing.entry_point(app)

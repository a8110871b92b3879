"""POST /favorite-changes"""

from shared import web
from shared.errors import TooManyChanges
from shared.favorites import changes
from shared.favorites.models import ChangedFavorites, FavoriteChanges
from shared.web import Response

app = web.resolver()


@app.post("/favorite-changes", openapi_extensions=web.refusals(TooManyChanges))
def change_favorites(wanted: FavoriteChanges) -> Response[ChangedFavorites]:
    """Mark and unmark up to 100 products of the caller; repeating it changes nothing."""
    return web.ok(changes.change(web.caller(app), wanted))


lambda_handler = web.entry_point(app)

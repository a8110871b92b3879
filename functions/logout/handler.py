"""POST /auth/logout"""

from shared import web
from shared.accounts import sessions
from shared.accounts.models import RefreshTokenInput
from shared.errors import InvalidRefreshToken
from shared.web import Response

app = web.resolver(public=True)


@app.post("/auth/logout", status_code=204, openapi_extensions=web.refusals(InvalidRefreshToken))
def logout(held: RefreshTokenInput) -> Response[None]:
    """End the session that the refresh token belongs to."""
    sessions.log_out(held.refresh_token)
    return web.no_content()


lambda_handler = web.entry_point(app)

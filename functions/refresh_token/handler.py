"""POST /auth/refresh"""

from shared import web
from shared.accounts import sessions
from shared.accounts.models import RefreshTokenInput, Tokens
from shared.errors import InvalidRefreshToken
from shared.web import Response

app = web.resolver(public=True)


@app.post("/auth/refresh", openapi_extensions=web.refusals(InvalidRefreshToken))
def refresh_token(held: RefreshTokenInput) -> Response[Tokens]:
    """Exchange a refresh token for the next tokens; a use more than 30 s after that revokes the session."""
    return web.tokens(sessions.refresh(held.refresh_token))


lambda_handler = web.entry_point(app, uses=["jwt.api_jwt"])

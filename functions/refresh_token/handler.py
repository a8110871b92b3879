"""POST /auth/refresh"""

from shared import http, sessions
from shared.errors import InvalidRefreshToken
from shared.http import Response
from shared.models import RefreshTokenInput, Tokens

app = http.resolver(public=True)


@app.post("/auth/refresh", openapi_extensions=http.refusals(InvalidRefreshToken))
def refresh_token(held: RefreshTokenInput) -> Response[Tokens]:
    """Exchange a refresh token for new tokens; it works once, and a second use revokes the session."""
    return http.tokens(sessions.refresh(held.refresh_token))


lambda_handler = http.entry_point(app, uses=["jwt.api_jwt"])

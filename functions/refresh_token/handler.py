"""POST /auth/refresh"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts.models import RefreshTokenInput, Tokens
from shared.accounts.sessions import rotation
from shared.errors import InvalidRefreshToken
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.post("/auth/refresh", openapi_extensions=routing.errors(InvalidRefreshToken))
def refresh_token(held: RefreshTokenInput) -> Response[Tokens]:
    """Exchange a refresh token for the next tokens; a use more than 30 s after that revokes the session."""
    return responses.tokens(rotation.refresh(held.refresh_token))


lambda_handler = routing.entry_point(app, preload=["jwt.api_jwt"])

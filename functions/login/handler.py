"""POST /auth/login"""

from shared import web
from shared.accounts import sessions
from shared.accounts.models import Credentials, Tokens
from shared.errors import InvalidCredentials, TooManyAttempts
from shared.web import Response

app = web.resolver(public=True)


@app.post("/auth/login", openapi_extensions=web.refusals(InvalidCredentials, TooManyAttempts))
def login(credentials: Credentials) -> Response[Tokens]:
    """Exchange an e-mail and password for an access token and a refresh token."""
    return web.tokens(sessions.log_in(credentials.email, credentials.password, source=web.source(app)))


lambda_handler = web.entry_point(app, uses=["shared.accounts.login_attempts", "argon2", "jwt.api_jwt"])

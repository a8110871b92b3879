"""POST /auth/login"""

from shared import http, sessions
from shared.errors import InvalidCredentials, TooManyAttempts
from shared.http import Response
from shared.models import Credentials, Tokens

app = http.resolver(public=True)


@app.post("/auth/login", openapi_extensions=http.refusals(InvalidCredentials, TooManyAttempts))
def login(credentials: Credentials) -> Response[Tokens]:
    """Exchange an e-mail and password for an access token and a refresh token."""
    return http.tokens(sessions.log_in(credentials.email, credentials.password))


lambda_handler = http.entry_point(app, uses=["shared.login_attempts", "argon2", "jwt.api_jwt"])

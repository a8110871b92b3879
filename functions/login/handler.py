"""POST /auth/login"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts import sessions
from shared.accounts.models import Credentials, Tokens
from shared.errors import InvalidCredentials, TooManyAttempts
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.post("/auth/login", openapi_extensions=routing.errors(InvalidCredentials, TooManyAttempts))
def login(credentials: Credentials) -> Response[Tokens]:
    """Exchange an e-mail and password for an access token and a refresh token."""
    return responses.tokens(sessions.log_in(credentials.email, credentials.password, source=app.source_ip))


lambda_handler = routing.entry_point(app, preload=["shared.accounts.login_attempts", "argon2", "jwt.api_jwt"])

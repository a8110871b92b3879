"""POST /auth/login"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts.models import Credentials, Tokens
from shared.accounts.sessions import starts
from shared.errors import InvalidCredentials, TooManyAttempts
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.post("/auth/login", openapi_extensions=routing.errors(InvalidCredentials, TooManyAttempts))
def login(credentials: Credentials) -> Response[Tokens]:
    """Exchange an e-mail and password for an access token and a refresh token."""
    return responses.tokens(starts.log_in(credentials.email, credentials.password, source_ip=app.source_ip))


lambda_handler = routing.entry_point(app, preload=["argon2", "jwt.api_jwt"])

"""POST /auth/logout"""

from shared import http, sessions
from shared.errors import InvalidRefreshToken
from shared.http import Response
from shared.models import RefreshTokenInput

app = http.resolver(public=True)


@app.post("/auth/logout", status_code=204, openapi_extensions=http.refusals(InvalidRefreshToken))
def logout(held: RefreshTokenInput) -> Response[None]:
    """End the session that the refresh token belongs to."""
    sessions.log_out(held.refresh_token)
    return http.no_content()


lambda_handler = http.entry_point(app)

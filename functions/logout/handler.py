"""POST /auth/logout"""

from shared.platform import lean_imports

lean_imports.start()

from shared.accounts.models import RefreshTokenInput
from shared.accounts.sessions import ends
from shared.web import responses, routing
from shared.web.responses import Response

app = routing.resolver(public=True)


@app.post("/auth/logout", status_code=204)
def logout(held: RefreshTokenInput) -> Response[None]:
    """End the session that the refresh token belongs to; repeating it changes nothing."""
    ends.log_out(held.refresh_token)
    return responses.no_content()


lambda_handler = routing.entry_point(app)

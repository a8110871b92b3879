"""GET /docs and GET /openapi.json"""

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from shared import web
from shared.web import Query, Response

app = web.resolver(public=True)

# The page carries its script and style with it; the browser is told to accept nothing else.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Cache-Control": "public, max-age=300"}

# The page's link to the description uses it.
Shape = Annotated[
    Literal["json"] | None,
    Query(alias="format", description="`json` answers the description itself, as /openapi.json does."),
]


@app.get("/openapi.json", openapi_extensions=web.refusals())
def get_openapi() -> Response[dict[str, object]]:
    """Read this description of the API (OpenAPI 3.1)."""
    return web.text(_document(), "application/json", _HEADERS)


@app.get("/docs", openapi_extensions=web.refusals())
def get_docs(shape: Shape = None) -> Response[str]:
    """Browse this description and try it out (Swagger UI)."""
    if shape == "json":
        return web.text(_document(), "application/json", _HEADERS)
    return web.text(_page(), "text/html", _HEADERS | {"Content-Security-Policy": _POLICY})


@cache
def _document() -> str:
    return files("functions.get_docs").joinpath("openapi.json").read_text(encoding="utf-8")


@cache
def _page() -> str:
    from aws_lambda_powertools.event_handler import openapi  # the document alone takes none of it
    from aws_lambda_powertools.event_handler.openapi.swagger_ui import generate_swagger_html

    assets = files(openapi).joinpath("swagger_ui")
    return generate_swagger_html(
        spec=_document().replace("</", "<\\/"),  # it stands in a script, which "</script>" would end
        swagger_js=assets.joinpath("swagger-ui-bundle.min.js").read_text(encoding="utf-8"),
        swagger_css=assets.joinpath("swagger-ui.min.css").read_text(encoding="utf-8"),
        swagger_base_url="",  # the assets stand in the page itself
        oauth2_config=None,
    )


lambda_handler = web.entry_point(app)

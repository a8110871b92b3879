"""GET /docs and GET /openapi.json"""

from shared.platform import lean_imports

lean_imports.start()

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from shared.web import responses, routing
from shared.web.parameters import Query
from shared.web.responses import Response

app = routing.resolver(public=True)

# The page carries its script and style with it; the browser is told to accept nothing else.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Cache-Control": "public, max-age=300"}

Shape = Annotated[
    Literal["json"] | None,
    Query(alias="format", description="`json` answers the description itself, as /openapi.json does."),
]


@app.get("/openapi.json", openapi_extensions=routing.errors())
def get_openapi() -> Response[dict[str, object]]:
    """Read this description of the API (OpenAPI 3.1)."""
    return responses.text(_document(), "application/json", _HEADERS)


@app.get("/docs", openapi_extensions=routing.errors())
def get_docs(shape: Shape = None) -> Response[str]:
    """Browse this description and try it out (Swagger UI)."""
    if shape == "json":
        return responses.text(_document(), "application/json", _HEADERS)
    return responses.text(_page(), "text/html", _HEADERS | {"Content-Security-Policy": _POLICY})


@cache
def _document() -> str:
    return files("functions.get_docs").joinpath("openapi.json").read_text(encoding="utf-8")


@cache
def _page() -> str:
    from aws_lambda_powertools.event_handler import openapi  # the document alone takes none of it

    swagger_ui = files(openapi).joinpath("swagger_ui")
    page = files("functions.get_docs").joinpath("docs.html").read_text(encoding="utf-8")
    for place, text in {
        "@SWAGGER_CSS@": swagger_ui.joinpath("swagger-ui.min.css").read_text(encoding="utf-8"),
        "@SWAGGER_JS@": swagger_ui.joinpath("swagger-ui-bundle.min.js").read_text(encoding="utf-8"),
        "@DOCUMENT@": _document().replace("</", "<\\/"),  # it stands in a script, which "</script>" would end
    }.items():
        page = page.replace(place, text)
    return page


lambda_handler = routing.entry_point(app)

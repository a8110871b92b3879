"""GET /docs, GET /openapi.json and GET /problems/{code}"""

from shared.platform import lean_imports

lean_imports.start()

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Path

from functions.get_docs import pages
from shared.errors import NoSuchRoute
from shared.web import responses, routing
from shared.web.parameters import Query
from shared.web.responses import Response

app = routing.resolver(public=True)

_CACHED = {"Cache-Control": "public, max-age=300"}
# The pages carry their scripts and styles with them; browsers load nothing else.
_HTML = _CACHED | {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

Shape = Annotated[
    Literal["json"] | None,
    Query(alias="format", description="`json` answers the description itself, as /openapi.json does."),
]
ProblemCode = Annotated[
    str,
    Path(pattern="^[a-z-]{1,64}$", description="The last part of a `type`.", examples=["unknown-product"]),
]


@app.get("/openapi.json")
def get_openapi() -> Response[dict[str, object]]:
    """Read this description of the API (OpenAPI 3.1)."""
    return responses.text(pages.document(), "application/json", _CACHED)


@app.get("/docs")
def get_docs(shape: Shape = None) -> Response[str]:
    """Browse this description and try it out (Swagger UI)."""
    if shape == "json":
        return responses.text(pages.document(), "application/json", _CACHED)
    return responses.text(pages.swagger_ui(), "text/html", _HTML)


@app.get("/problems/<code>", openapi_extensions=routing.errors(NoSuchRoute))
def get_problem(code: ProblemCode) -> Response[str]:
    """Read what a type of problem means; the `type` of an error is this address."""
    return responses.text(pages.problem(code), "text/html", _HTML)


lambda_handler = routing.entry_point(app)

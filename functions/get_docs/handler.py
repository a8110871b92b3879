"""GET /docs, GET /openapi.json and GET /problems/{code}"""

from shared.platform import lean_imports

lean_imports.start()

import inspect
from functools import cache
from html import escape
from importlib.resources import files
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Path

from shared.errors import DomainError, NoSuchRoute
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


ProblemCode = Annotated[
    str,
    Path(pattern="^[a-z-]{1,64}$", description="The last part of a `type`.", examples=["unknown-product"]),
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


@app.get("/problems/<code>", openapi_extensions=routing.errors(NoSuchRoute))
def get_problem(code: ProblemCode) -> Response[str]:
    """Read what a type of problem means; the `type` of an error is this address."""
    for kind in DomainError.kinds():
        if kind.code == code:
            return responses.text(
                _explained(kind), "text/html", _HEADERS | {"Content-Security-Policy": _POLICY}
            )
    raise NoSuchRoute("There is no such type of problem.")


def _explained(kind: type[DomainError]) -> str:
    page = files("functions.get_docs").joinpath("problem.html").read_text(encoding="utf-8")
    texts = {
        "@TITLE@": kind.title,
        "@STATUS@": str(kind.status),
        "@TYPE@": kind.type_uri(),
        "@MEANING@": inspect.cleandoc(kind.__doc__ or "").replace("`", ""),
    }
    for place, text in texts.items():
        page = page.replace(place, escape(text))
    return page


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

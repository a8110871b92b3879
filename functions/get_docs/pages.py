"""The pages about the API, from the files beside this module."""

from __future__ import annotations

import inspect
from functools import cache
from html import escape
from importlib.resources import files

from shared.errors import DomainError, NoSuchRoute

_FOLDER = files("functions.get_docs")


@cache
def document() -> str:
    """The OpenAPI document."""
    return _FOLDER.joinpath("openapi.json").read_text(encoding="utf-8")


@cache
def swagger_ui() -> str:
    """Swagger UI with the document, in one page that loads nothing else."""
    # Imported here: the document alone needs none of it.
    from aws_lambda_powertools.event_handler import openapi

    assets = files(openapi).joinpath("swagger_ui")
    return _filled(
        "docs.html",
        {
            "@SWAGGER_CSS@": assets.joinpath("swagger-ui.min.css").read_text(encoding="utf-8"),
            "@SWAGGER_JS@": assets.joinpath("swagger-ui-bundle.min.js").read_text(encoding="utf-8"),
            "@DOCUMENT@": document().replace("</", "<\\/"),  # "</script>" would end the script around it
        },
    )


def problem(code: str) -> str:
    """What a problem of this type means. Raises NoSuchRoute where no problem has the code."""
    for kind in DomainError.kinds():
        if kind.code == code:
            texts = {
                "@TITLE@": kind.title,
                "@STATUS@": str(kind.status),
                "@TYPE@": kind.type_uri(),
                "@MEANING@": inspect.cleandoc(kind.__doc__ or "").replace("`", ""),
            }
            return _filled("problem.html", {place: escape(text) for place, text in texts.items()})
    raise NoSuchRoute("There is no such type of problem.")


def _filled(name: str, texts: dict[str, str]) -> str:
    page = _FOLDER.joinpath(name).read_text(encoding="utf-8")
    for place, text in texts.items():
        page = page.replace(place, text)
    return page

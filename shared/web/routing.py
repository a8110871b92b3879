"""Routing and validation by Powertools: the app of a function, and the Lambda handler that serves it.

A route needs a caller unless its app is public.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

from aws_lambda_powertools.event_handler.api_gateway import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.errors import DomainError, InvalidInput, MissingCredentials
from shared.formats.etags import Preconditions
from shared.platform import secrets_manager
from shared.web import bodies, entry, problems, request
from shared.web.entry import Handler
from shared.web.request import Event, Result

FastPath = Callable[[Caller, Event], Result | None]


class Resolver(APIGatewayHttpResolver):
    """Powertools' resolver, with this service's problems and its own JSON."""

    def __init__(self, *, public: bool) -> None:
        super().__init__(enable_validation=True)
        self.public = public
        # shared.formats.json_text renders answers with exact decimals, which Powertools' response validation
        # would turn into strings. mypy checks their types instead.
        del self._response_validation_middleware
        self.use([_without_unknown_parameters])
        self.exception_handler(Exception)(self._problem)

    @property
    def event(self) -> Event:
        """The event of the request that the app is answering."""
        return self.current_event.raw_event

    @property
    def caller(self) -> Caller:
        """The caller of the request; only for routes that are not public."""
        return cast("Caller", self.context["caller"])

    @property
    def source_ip(self) -> str:
        """The IP address of the connection to API Gateway."""
        return request.source_ip(self.event)

    def header(self, name: str) -> str | None:
        """A header of the request by its case-insensitive name, None where there is none."""
        return self.current_event.headers.get(name)

    @property
    def preconditions(self) -> Preconditions:
        """The conditions of a request that changes something."""
        return Preconditions(self.header("if-match"), self.header("if-none-match"))

    def refuse_together(self, parameter: str, *others: str) -> None:
        """Raise InvalidInput if the query, which has the parameter, has one of the others too."""
        for name in others:
            if name in (self.event.get("queryStringParameters") or {}):
                raise InvalidInput(f"does not go with {parameter}", location=f"query.{name}", kind="alone")

    def _problem(self, error: Exception) -> Response[str]:
        result = problems.result(error, self.event)
        return Response(result["statusCode"], body=result["body"], headers=result["headers"])


def resolver(*, public: bool = False) -> Resolver:
    """The app of one function; its routes need a caller, unless it is `public`."""
    return Resolver(public=public)


def entry_point(
    app: Resolver, *, fast_path: FastPath | None = None, preload: Sequence[str] = ()
) -> Handler[Result]:
    """The Lambda handler that serves the app.

    `fast_path` may answer the most frequent request without the app, whose routing and validation take longer
    than a statement of one row. It returns None for all other requests, including invalid ones.

    `preload` names modules that a first request would import. They are imported in the init phase, in which
    Lambda gives an environment a whole CPU; a request's share of the CPU depends on the memory.
    """
    for module in (*preload, *(() if app.public else ("jwt.api_jwt",)), *secrets_manager.modules()):
        import_module(module)

    def answer_event(event: Event, context: Any) -> Result:
        return answer(app, event, context, fast_path)

    return entry.http(answer_event)


def answer(app: Resolver, event: Event, context: Any, fast_path: FastPath | None = None) -> Result:
    """The answer of the app, after the caller and the body were checked; errors become problems."""
    try:
        if not app.public:
            app.context["caller"] = _authenticate(event)
        result = fast_path(app.caller, event) if fast_path else None
        return result or app.resolve(_as_get(_with_checked_path(bodies.checked(event))), context)
    except Exception as error:  # noqa: BLE001 — unforeseen errors become problems too
        return problems.result(error, event)


def errors(*kinds: type[DomainError], also: Sequence[int] = ()) -> dict[str, Any]:
    """The part of a route's OpenAPI description that its types do not give (tools.openapi).

    `kinds` are the errors of this route, `also` further statuses of success: 304 for a route with an entity
    tag (`responses.tagged`), any other with the same body.
    """
    return {"x-errors": [kind.code for kind in kinds], "x-also": list(also)}


def _authenticate(event: Event) -> Caller:
    """The caller of the Authorization header's bearer token (RFC 6750 §2.1)."""
    scheme, _, token = request.header(event, "authorization").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise MissingCredentials("This route needs an access token: Authorization: Bearer …")
    return access_tokens.verify(token.strip())


def _with_checked_path(event: Event) -> Event:
    """The event, its path decoded. Raises NotFoundError for a line break, before which patterns may end."""
    decoded = request.with_decoded_path(event)
    if "\n" in decoded["rawPath"]:
        raise NotFoundError
    return decoded


def _as_get(event: Event) -> Event:
    """The event, with GET in place of HEAD (RFC 9110 §9.3.2); `entry` removes the body of the answer."""
    if request.method(event) != "HEAD":
        return event
    context = event["requestContext"]
    return event | {"requestContext": context | {"http": context["http"] | {"method": "GET"}}}


def _without_unknown_parameters(app: Resolver, answer: Callable[[Resolver], Response[Any]]) -> Response[Any]:
    """Call the route, unless the query has a parameter that it does not declare.

    Ignoring a misspelled parameter would give a wrong answer that looks right. Runs after Powertools'
    validation, which reports errors in the path first.
    """
    sent = app.event.get("queryStringParameters")
    if sent:
        known = {field.alias for field in app.context["_route"].dependant.query_params}
        for name in sent:
            if name not in known:
                raise InvalidInput(
                    "is not a parameter of this route", location=f"query.{name}", kind="extra_forbidden"
                )
    return answer(app)

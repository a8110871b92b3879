"""Answers browsers of other origins as API Gateway does for the CorsConfiguration of an HTTP API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request


@dataclass(frozen=True)
class Cors:
    """A CorsConfiguration; `origins` are those whose pages may call the API."""

    origins: frozenset[str]
    methods: str
    headers: str
    exposed: str
    max_age: str

    @classmethod
    def of(cls, configuration: Mapping[str, Any], origins: str) -> "Cors":
        """The template's configuration, with the origins as a list with commas."""
        return cls(
            origins=frozenset(origin.strip() for origin in origins.split(",")),
            methods=",".join(configuration["AllowMethods"]),
            headers=",".join(configuration["AllowHeaders"]),
            exposed=",".join(configuration["ExposeHeaders"]),
            max_age=str(configuration["MaxAge"]),
        )


def add_cors(app: Flask, cors: Cors) -> None:
    """Answer OPTIONS on any path, and add the headers to all other answers."""

    def preflight() -> Response | None:
        return Response(status=204) if request.method == "OPTIONS" else None

    def allow(response: Response) -> Response:
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin not in cors.origins:
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = cors.exposed
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = cors.methods
            response.headers["Access-Control-Allow-Headers"] = cors.headers
            response.headers["Access-Control-Max-Age"] = cors.max_age
        return response

    app.before_request(preflight)
    app.after_request(allow)

"""The apps of all functions with routes, from which tools and tests read the declarations of routes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from shared.web.routing import Resolver

ROOT = Path(__file__).resolve().parents[1]


def apps() -> dict[str, Resolver]:
    """Each app by its function's folder."""
    found = {}
    for folder in sorted((ROOT / "functions").iterdir()):
        modules = [name for name in ("routes", "handler") if (folder / f"{name}.py").exists()]
        for name in modules[:1]:
            app = getattr(import_module(f"functions.{folder.name}.{name}"), "app", None)
            if isinstance(app, Resolver):
                found[folder.name] = app
    return found


def routes(app: Resolver) -> Iterator[Any]:
    """The app's routes, as Powertools has them: method, openapi_path, func, dependant."""
    yield from (*app._static_routes, *app._dynamic_routes)


def needing_a_caller() -> tuple[str, ...]:
    """The functions whose routes need an access token."""
    return tuple(folder for folder, app in apps().items() if not app.public)


def taking_a_body() -> tuple[str, ...]:
    """The functions that have a route with a body."""
    return tuple(
        folder for folder, app in apps().items() if any(route.dependant.body_params for route in routes(app))
    )

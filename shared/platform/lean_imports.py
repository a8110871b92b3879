"""Third-party packages without what their `__init__` imports for other uses: a third of a cold start.

An `__init__` runs before any module of its package, and those below import everything that they offer. After
`start()`, which a handler calls before its other imports, the modules in `LEAN` are in `sys.modules` without
having run. The names in their table come from where they are defined, submodules are imported as usual, and
any other name runs the module's own code after all, in the same module object. So nothing is missing or
loaded twice. tests/unit/shared/test_lean_imports.py compares all names with an ordinary import, and
tests/integration/deploy/test_build.py fails when a request runs one of these modules after all.

Outside functions `start()` does nothing: two threads, one in a module's own code and one in its submodule,
could wait for each other forever. In a function one thread does all the importing.

This file goes when Lambda has a Python with lazy imports (PEP 810).
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader

# module: {submodule that defines them: the names that other packages import from the module for a request}
# The comments give what it saves of a cold start (tests/benchmarks/cold.py; an empty handler takes 50 ms).
LEAN: dict[str, dict[str, str]] = {
    # 30 ms: Tracer, Metrics, AppSync, Bedrock, VPC Lattice, and every event that AWS has.
    "aws_lambda_powertools": {},
    "aws_lambda_powertools.event_handler": {"api_gateway": "ApiGatewayResolver Response"},
    "aws_lambda_powertools.event_handler.openapi": {},
    "aws_lambda_powertools.utilities.data_classes": {
        "alb_event": "ALBEvent",
        "api_gateway_proxy_event": "APIGatewayProxyEvent APIGatewayProxyEventV2",
        "bedrock_agent_event": "BedrockAgentEvent",
        "event_source": "event_source",
        "lambda_function_url_event": "LambdaFunctionUrlEvent",
        "s3_event": "S3Event",
        "vpc_lattice": "VPCLatticeEvent VPCLatticeEventV2",
    },
    "jwt": {},  # 14 ms; a client that fetches keys over HTTP
    "redis": {},  # 18 ms: clusters, Sentinel
}

_running: set[str] = set()
_lock = RLock()


class LeanModule(ModuleType):
    """A module whose code runs for the first name that is neither in its table nor a submodule."""

    def __getattr__(self, name: str) -> Any:
        for submodule, names in LEAN[self.__name__].items():
            if name in names.split():
                value = getattr(import_module(f"{self.__name__}.{submodule}"), name)
                setattr(self, name, value)
                return value
        path = self.__dict__.get("__path__")
        if path and PathFinder.find_spec(f"{self.__name__}.{name}", path):
            return import_module(f"{self.__name__}.{name}")
        with _lock:
            if type(self) is LeanModule:
                if self.__name__ in _running:  # its own code, for a name that it has not defined yet
                    raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
                _running.add(self.__name__)
                try:
                    self.__loader__.exec_module(self)  # type: ignore[union-attr]
                    self.__class__ = ModuleType  # type: ignore[assignment]
                finally:
                    _running.discard(self.__name__)
        return getattr(self, name)


class LeanFinder:
    """Finds the modules in `LEAN` where Python would, and loads them without running them (PEP 451)."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec; None for other modules."""
        spec = PathFinder.find_spec(name, path, target) if name in LEAN else None
        if spec and spec.loader:
            spec.loader_state, spec.loader = spec.loader, LeanFinder  # type: ignore[assignment]
        return spec

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType | None:
        """The module that its own loader makes."""
        loader: Loader = spec.loader_state
        return loader.create_module(spec)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Leave the module's code for later."""
        spec: Any = module.__spec__
        module.__loader__ = spec.loader = spec.loader_state
        spec.loader_state = None
        module.__class__ = LeanModule


_USUAL = gc.get_threshold()


def start() -> None:
    """Begin, in a function without `LEAN_IMPORTS=off`. Set that first when an import behaves oddly."""
    # Lambda and its emulator set both of these.
    is_function = not {"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API"}.isdisjoint(os.environ)
    if not is_function or os.environ.get("LEAN_IMPORTS", "").lower() == "off" or is_started():
        return
    sys.meta_path.insert(0, LeanFinder)

    # What Powertools' own `__init__` does besides importing: keep its lines out of our log.
    logging.getLogger("aws_lambda_powertools").addHandler(logging.NullHandler())
    logging.getLogger("aws_lambda_powertools").propagate = False

    # There are no plugins; pydantic would search every installed package for them (8 ms).
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    # Imported modules are no garbage: collections would take 17 ms while they load, and again in a request.
    gc.set_threshold(100_000)


def done() -> None:
    """End the init phase: collect garbage as usual, but leave out what is loaded now."""
    if is_started():
        gc.freeze()
        gc.set_threshold(*_USUAL)


def is_started() -> bool:
    """Whether `start` had an effect."""
    return LeanFinder in sys.meta_path

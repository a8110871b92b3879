"""Third-party packages without what their `__init__` loads for others: a third of a cold start.

A package's `__init__` runs before any module in it, and those below import everything that they offer: one
class of Powertools brings AppSync, Bedrock and a tracer along, one of redis-py its cluster. A handler calls
`start()` before its other imports. From then on the modules in `LEAN` enter `sys.modules` without having run.
A name in their table is taken from where it is defined, a submodule is imported as ever, and the first other
name runs the module's own code after all, in the same module object. So nothing is missing and nothing is
loaded twice; only the order differs. The standard library is left alone.

`start()` does nothing where no function runs: two threads, one in such a module's own code and one in its
submodule, could wait for each other forever. In a function one thread does all the importing.

tests/unit/shared/test_lean_imports.py compares all names with those of an ordinary import, and
tests/integration/deploy/test_build.py fails when a request runs one of these modules after all.

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

# module: {submodule: the names that the packages take from the module on a request's way, defined there}
# Beside each, what it saves of a cold start (tests/benchmarks/cold.py, where a handler that does nothing
# takes 50 ms).
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
    """A module whose code runs when it is asked for a name that is neither in its table nor a submodule."""

    def __getattr__(self, name: str) -> Any:
        for submodule, names in LEAN[self.__name__].items():
            if name in names.split():
                value = getattr(import_module(f"{self.__name__}.{submodule}"), name)
                setattr(self, name, value)
                return value
        path = self.__dict__.get("__path__")
        if path and PathFinder.find_spec(f"{self.__name__}.{name}", path):
            return import_module(f"{self.__name__}.{name}")
        with _lock:  # one thread runs it and the others wait
            if type(self) is LeanModule:
                if self.__name__ in _running:  # its own code asks for what it has yet to define
                    raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
                _running.add(self.__name__)
                try:
                    self.__loader__.exec_module(self)  # type: ignore[union-attr]
                    self.__class__ = ModuleType  # type: ignore[assignment]
                finally:
                    _running.discard(self.__name__)
        return getattr(self, name)


class _LeanLoader:
    """Makes the module that the loader would, and leaves its code for later."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__:
            module.__spec__.loader = self._loader
        module.__class__ = LeanModule


class LeanFinder:
    """Finds the modules in `LEAN` where Python would, and nothing else."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec with a loader that leaves its code for later (PEP 451)."""
        if name not in LEAN:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _LeanLoader(spec.loader)  # type: ignore[assignment]
        return spec


_USUAL = gc.get_threshold()


def start() -> None:
    """Import as this module says from now on, in a function; `LEAN_IMPORTS=off` in its variables prevents it.

    Turn it off first when an import behaves oddly.
    """
    # Lambda and its emulator set both of these.
    is_function = not {"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API"}.isdisjoint(os.environ)
    if not is_function or os.environ.get("LEAN_IMPORTS", "").lower() == "off" or is_started():
        return
    sys.meta_path.insert(0, LeanFinder)

    # What Powertools' own `__init__` does besides importing: its modules' lines are not for our log.
    logging.getLogger("aws_lambda_powertools").addHandler(logging.NullHandler())
    logging.getLogger("aws_lambda_powertools").propagate = False

    # There are no plugins; to find that out, pydantic reads about every package that is installed (8 ms).
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    # Imported modules stay: searching them for garbage takes 17 ms while they load, which makes some 60,000
    # objects, and as long again in some request later.
    gc.set_threshold(100_000)


def done() -> None:
    """End of the init phase: never search what is loaded now for garbage, and what requests make as usual."""
    if is_started():
        gc.freeze()
        gc.set_threshold(*_USUAL)


def is_started() -> bool:
    """Whether modules are imported as this module says."""
    return LeanFinder in sys.meta_path

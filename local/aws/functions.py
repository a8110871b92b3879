"""The functions of a template, each in a pool of execution environments that follows its code."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.aws.code_watcher import CodeWatcher
from local.aws.execution_environment import ExecutionEnvironment, FunctionSettings, Pool
from local.aws.template import Template
from local.lifeline import Lifeline
from local.servers.services import Log


class Functions:
    """Invokes the functions; each has at most `concurrency` execution environments.

    All of them get `variables` beside their own. Their logs go to `log` line by line, with the folder of the
    function in front. Functions may be named by their folder too.
    """

    def __init__(
        self,
        template: Template,
        *,
        concurrency: int = 4,
        log: Log = print,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._lifeline = Lifeline()
        self._watcher = CodeWatcher()
        self._pools: dict[str, Pool] = {}
        self._names = {declared.label: name for name, declared in template.functions.items()}
        for name, declared in template.functions.items():
            every = {**declared.settings.variables, **(variables or {})}
            settings = replace(declared.settings, variables=every)
            self._pools[name] = self._pool(settings, declared.label, template.root, concurrency, log)
            self._watcher.watch(declared.code, self._pools[name].refresh)
        self._watcher.start()

    def label(self, name: str) -> str:
        """Return the folder of a function."""
        return next(label for label, known in self._names.items() if known == name)

    def knows(self, name: str) -> bool:
        """Whether there is such a function."""
        return self._names.get(name, name) in self._pools

    def invoke_raw(self, name: str, event: bytes) -> bytes:
        """Return the result of a function for an event, both JSON.

        Raises FunctionFailed when it raised, crashed or ran out of time, and KeyError for an unknown name.
        """
        return self._pools[self._names.get(name, name)].invoke(event)

    def invoke(self, name: str, event: Mapping[str, Any]) -> Any:
        """As invoke_raw, with the event and the result as Python objects."""
        return json.loads(self.invoke_raw(name, json.dumps(event).encode()))

    def stop(self) -> None:
        """End every execution environment."""
        self._watcher.stop()
        for pool in self._pools.values():
            pool.stop()
        self._lifeline.close()

    def _pool(self, settings: FunctionSettings, label: str, root: Path, concurrency: int, log: Log) -> Pool:
        def log_with_name(line: str) -> None:
            log(f"{label} | {line}")

        def start() -> ExecutionEnvironment:
            return ExecutionEnvironment(settings, root, self._lifeline, log_with_name)

        return Pool(start, concurrency, log_with_name)

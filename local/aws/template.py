"""template.yaml as SAM CLI reads it: functions, routes, and what else invokes a function.

Only this module and `api_gateway` use the inside of SAM CLI; requirements-dev.txt pins its version.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read once, when SAM CLI is imported.
os.environ["SAM_CLI_TELEMETRY"] = "0"

from samcli.commands._utils.template import get_template_data
from samcli.commands.exceptions import UserException
from samcli.commands.validate.lib.exceptions import InvalidSamDocumentException
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.provider import Api, Function
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.local.lambdafn.env_vars import EnvironmentVariables

from local.aws.cors import Cors
from local.aws.execution_environment import FunctionSettings
from local.servers.services import ServiceFailed

# SAM CLI warns about every 204 ("Lambda returned empty body!").
logging.getLogger("samcli").setLevel(logging.ERROR)

_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True)
class DeclaredFunction:
    """A function of the template; `label` is the name of its folder, `code` that folder and its layers'."""

    settings: FunctionSettings
    label: str
    code: tuple[Path, ...]


@dataclass(frozen=True)
class Schedule:
    """A function that is invoked every so many `seconds`; None for a `cron` expression."""

    function: str
    seconds: float | None


@dataclass(frozen=True)
class Queue:
    """A queue whose messages invoke a function, at most `batch` at once, each at most `receives` times.

    With `reports_failures` the function's answer names the messages that failed. At most `consumers` batches
    are under way at once.
    """

    name: str
    function: str
    batch: int
    receives: int
    reports_failures: bool
    consumers: int = 5  # Lambda begins with five pollers


@dataclass(frozen=True)
class Rule:
    """Events that match `pattern` go to `queues`."""

    pattern: Mapping[str, Any]
    queues: tuple[str, ...]


class Template:
    """What a template declares, with these values for its parameters and its functions' variables.

    Raises ServiceFailed when the template is wrong.
    """

    def __init__(
        self, path: Path, parameters: Mapping[str, str], variables: Mapping[str, str] | None = None
    ) -> None:
        self.root = path.resolve().parent
        with _mistakes_in_one_line(path):
            stacks, _ = SamLocalStackProvider.get_stacks(str(path), parameter_overrides=dict(parameters))
            self.api = _without_empty_cors(ApiProvider(stacks, cwd=str(self.root)).api)
            functions = list(SamFunctionProvider(stacks).get_all())
        self.functions = {
            function.name: _declared(function, self.root, variables or {}) for function in functions
        }
        resources: dict[str, Any] = stacks[0].resources
        self.cors = _cors(resources, parameters.get("CorsOrigins", ""))
        self.schedules = [
            Schedule(function, _seconds(schedule["ScheduleExpression"]))
            for function, schedule in _events(functions, "ScheduleV2")
            if schedule.get("State") != "DISABLED"
        ]
        self.queues = [_queue(function, queue, resources) for function, queue in _events(functions, "SQS")]
        rules = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::Events::Rule"]
        self.rules = [
            Rule(_plain(rule["EventPattern"]), tuple(_name(target["Arn"]) for target in rule["Targets"]))
            for rule in rules
            if "EventPattern" in rule
        ]


def template_data(path: Path) -> dict[str, Any]:
    """Return the text of a template as data, intrinsic functions in their long form. Raises ServiceFailed."""
    with _mistakes_in_one_line(path):
        return dict(get_template_data(str(path)))


def declared_parameters(path: Path) -> dict[str, dict[str, Any]]:
    """Return the declarations of a template's parameters by name. Raises ServiceFailed."""
    return dict(template_data(path).get("Parameters", {}))


@contextmanager
def _mistakes_in_one_line(template: Path) -> Iterator[None]:
    try:
        yield
    except (UserException, InvalidSamDocumentException) as error:
        raise ServiceFailed(f"{template.name} cannot be used: {' '.join(str(error).split())}") from error


def _without_empty_cors(api: Api) -> Api:
    """Undo how SAM CLI reads a CorsConfiguration with a condition: OPTIONS on every route, and no origin."""
    if api.cors and not api.cors.allow_origin:
        api.cors = None
        for route in api.routes:
            route.methods = [method for method in route.methods if method != "OPTIONS"]
    return api


def _cors(resources: Mapping[str, Any], origins: str) -> Cors | None:
    """Return the CorsConfiguration, whose condition SAM CLI does not resolve; None without origins."""
    for resource in resources.values():
        configuration = resource.get("Properties", {}).get("CorsConfiguration")
        if resource["Type"] == "AWS::Serverless::HttpApi" and configuration and origins:
            return Cors.of(configuration["Fn::If"][1], origins)
    return None


def _declared(function: Function, root: Path, variables: Mapping[str, str]) -> DeclaredFunction:
    folders = (function.codeuri, *(layer.codeuri for layer in function.layers))
    return DeclaredFunction(
        _settings(function, variables),
        label=Path(function.codeuri or function.name).name,
        code=tuple(root / folder for folder in folders if folder),
    )


def _settings(function: Function, overrides: Mapping[str, str]) -> FunctionSettings:
    timeout, memory = int(function.timeout or 3), int(function.memory or 128)  # Lambda's defaults
    variables = EnvironmentVariables(
        function.name,
        memory,
        timeout,
        function.handler,
        # Without values and AWS credentials from the shell: only the template and its parameters count.
        variables=(function.environment or {}).get("Variables"),
        override_values=dict(overrides),
    )
    return FunctionSettings(function.name, function.handler, timeout, memory, variables.resolve())


def _events(functions: list[Function], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of a function and the properties of its event, for each event of a kind."""
    for function in functions:
        for event in (function.events or {}).values():
            if event["Type"] == kind:
                yield function.name, event["Properties"]


def _seconds(expression: str) -> float | None:
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    return int(rate[1]) * _SECONDS[rate[2]] if rate else None


def _queue(function: str, event: Mapping[str, Any], resources: Mapping[str, Any]) -> Queue:
    name = _name(event["Queue"])
    redrive = resources.get(name, {}).get("Properties", {}).get("RedrivePolicy", {})
    return Queue(
        name=name,
        function=function,
        batch=int(event.get("BatchSize", 10)),
        receives=int(redrive.get("maxReceiveCount", 5)),
        reports_failures="ReportBatchItemFailures" in event.get("FunctionResponseTypes", []),
        consumers=int(event.get("ScalingConfig", {}).get("MaximumConcurrency", 5)),
    )


def _plain(pattern: dict[str, Any]) -> dict[str, Any]:
    for name, allowed in pattern.items():
        if isinstance(allowed, dict):
            _plain(allowed)
        elif any(isinstance(each, dict) for each in allowed):
            raise ServiceFailed(
                f"The local event bus cannot match the pattern of {name}: only lists of values."
            )
    return pattern


def _name(arn: str) -> str:
    """Return the logical id that SAM CLI put into the ARN of a resource."""
    return arn.rpartition(":")[2]

"""template.yaml as CloudFormation gets to see it: transformed by SAM's own translator.

`make lint` looks at the template before the transform, and so misses what only exists after it: the roles and
queues that SAM adds, and circles between what it adds and what is written.
"""

import re
from collections.abc import Iterator
from typing import Any

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.documents import ROOT
from tests.unit.documents.test_names import resource_of

Resource = dict[str, Any]
TEXT = (ROOT / "template.yaml").read_text()


def transform(release: str = "by hand", **uploaded: str) -> dict[str, Any]:
    """What SAM makes of the template when the code has been uploaded; `uploaded` says where some of it is."""
    return translated(TEXT.replace("RELEASE: by hand", f"RELEASE: {release}"), **uploaded)


def translated(text: str, **uploaded: str) -> dict[str, Any]:
    template = yaml_parse(text)
    for name, resource in template["Resources"].items():
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = uploaded.get(name, "s3://bucket/code")
    parameters = {name: declared["Default"] for name, declared in template["Parameters"].items()}
    session = boto3.Session("key", "secret", region_name="eu-west-1")
    result: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(template, parameters)
    return result


def of_type(resources: dict[str, Resource], kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource.get("Properties", {})
        for name, resource in resources.items()
        if resource["Type"] == kind
    }


def functions(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    return of_type(resources, "AWS::Lambda::Function")


def role_of(resources: dict[str, Resource], folder: str) -> dict[str, Any]:
    role: dict[str, Any] = resources[ref(functions(resources)[resource_of(folder)]["Role"])]["Properties"]
    return role


def without_traffic(written: dict[str, Any]) -> set[str]:
    """The functions that nobody's traffic is shifted to: each deploy runs their newest code."""
    return {
        name
        for name, resource in written["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
        and resource["Properties"].get("DeploymentPreference") == {"Enabled": False}
    }


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def ref(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Fn::If" in value:
        return ref(value["Fn::If"][2])
    if "Ref" in value:
        return str(value["Ref"])
    if "Fn::GetAtt" in value:
        return str(value["Fn::GetAtt"][0])
    text: str = value["Fn::Sub"]
    return next(iter(re.findall(r"\$\{([A-Za-z]+)[.}]", text)), text)


def statements(resources: dict[str, Resource]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the policies of all roles say, with the name of the role or policy."""
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement
    for name, policy in of_type(resources, "AWS::IAM::ManagedPolicy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            yield name, statement

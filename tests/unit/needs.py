"""What a function needs of AWS, read from its code: the secrets and the services that its handler can reach.

A name that stands in a function, or in a method of a class, counts as reached from there. One rule is added
to that: a public app authenticates nobody, so it does not reach the keys of access tokens.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.session import Session

ROOT = Path(__file__).parents[2]
SETTINGS, SECRETS = "shared.platform.settings", "shared.platform.secrets_manager"
AUTHENTICATES = ("shared.web.routing", "_authenticate")
CLIENTS = ("shared.accounts.", "shared.favorites.")
# The caller and the refusal of one: every route of ours names these types.
CALLER = {("shared.accounts.access_tokens", part) for part in ("Caller", "token_revoked")}
# Settings that name a server inside the VPC, or one that is reached through its way out.
SERVERS = {"database_url", "redis_url", "catalog_url"}

# Actions that have another name in a policy than in the API.
IN_A_POLICY = {"lambda:Invoke": "lambda:InvokeFunction"}

Node = tuple[str, str]  # a module, and a function or class of it; "" for what it does at import


@dataclass
class Module:
    """A module's functions and classes, what its names mean, and what else it does at import."""

    name: str
    parts: dict[str, list[ast.AST]] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)  # a name, and what it is in full


@dataclass
class Needs:
    """Variables whose secrets a function reads, actions that it calls with boto3, whether it connects.

    And whether it has to do with clients: whether it can run anything of theirs or of their favorites.
    """

    secrets: set[str]
    actions: set[str]
    connects: bool
    clients: bool


def path_of(module: str) -> Path | None:
    if not re.fullmatch(r"(shared|functions)(\.\w+)*", module):
        return None
    path = ROOT / module.replace(".", "/")
    return next((it for it in (path.with_suffix(".py"), path / "__init__.py") if it.is_file()), None)


@cache
def module_of(name: str) -> Module:
    path = path_of(name)
    assert path is not None, name
    module = Module(name, {"": []})
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            module.parts[node.name] = [node]
            module.parts[""] += node.decorator_list
        else:
            module.parts[""].append(node)
    for part in ast.walk(ast.parse(path.read_text())):
        module.imported |= dict(names(part))
    return module


def names(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0], alias.name
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def meant(module: Module, name: str, attribute: str | None) -> Node | None:
    """The function or class of ours that `name` or `name.attribute` is, as this module sees it."""
    if name in module.parts:
        return module.name, name
    full = module.imported.get(name)
    if full is None:
        return None
    if path_of(full) is not None:
        if attribute is None:
            return full, ""
        other = module_of(full)
        return (full, attribute) if attribute in other.parts else meant(other, attribute, None)
    owner, _, part = full.rpartition(".")
    if path_of(owner) is None:
        return None
    other = module_of(owner)
    return (owner, part) if part in other.parts else meant(other, part, None)


def references(node: Node) -> Iterator[Node]:
    """What stands in a function, a class, or a module's own lines."""
    module = module_of(node[0])
    yield module.name, ""
    for tree in module.parts.get(node[1], []):
        for part in ast.walk(tree):
            found = None
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                found = meant(module, part.value.id, part.attr)
            elif isinstance(part, ast.Name):
                found = meant(module, part.id, None)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and path_of(part.value):
                found = (part.value, "")  # loaded by its name, as entry_point and lean_imports do
            if found is not None:
                yield found


@cache
def reached(folder: str) -> frozenset[Node]:
    """Everything of ours that a function can come to run."""
    modules = [
        f"functions.{folder}.{path.stem}" for path in sorted((ROOT / "functions" / folder).glob("*.py"))
    ]
    new = {(name, part) for name in modules for part in module_of(name).parts}
    files = [path_of(name) for name in modules]
    is_public = any(path and "resolver(public=True)" in path.read_text() for path in files)
    known = {AUTHENTICATES} if is_public else set()
    seen: set[Node] = set()
    while new:
        seen |= new
        new = {found for node in new for found in references(node)} - seen - known
    return frozenset(seen)


def variables_of_secrets(function: str) -> set[str]:
    """The variables that a function of the settings reads a secret by."""
    (tree,) = module_of(SETTINGS).parts[function]
    reads = {node[0] for node in references((SETTINGS, function)) if node[1] in {"read", "kept"}}
    if SECRETS not in reads:
        return set()
    texts = {part.value for part in ast.walk(tree) if isinstance(part, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[A-Z]+(_[A-Z]+)+", text)}


def actions(nodes: frozenset[Node]) -> set[str]:
    """The actions of the calls that modules make on the clients that they have of boto3."""
    found: set[str] = set()
    for name in {module for module, _ in nodes}:
        trees = [tree for module, part in nodes if module == name for tree in module_of(name).parts[part]]
        calls = [part for tree in trees for part in ast.walk(tree) if isinstance(part, ast.Call)]
        methods = {call.func.attr: call for call in calls if isinstance(call.func, ast.Attribute)}
        services = {
            str(argument.value)
            for call in calls
            if ast.unparse(call.func) == "boto3.client"
            for argument in call.args[:1]
            if isinstance(argument, ast.Constant)
        }
        for service in services:
            model = Session().get_service_model(service)
            operations = {xform_name(action): action for action in model.operation_names}
            found |= {f"{service}:{operations[method]}" for method in methods if method in operations}
    return {IN_A_POLICY.get(action, action) for action in found}


@cache
def needs(folder: str) -> Needs:
    nodes = reached(folder)
    used = {part for module, part in nodes if module == SETTINGS and part}
    return Needs(
        secrets=set().union(*map(variables_of_secrets, used)),
        actions=actions(nodes),
        connects=bool(used & SERVERS),
        clients=any(module.startswith(CLIENTS) and part for module, part in nodes - CALLER),
    )

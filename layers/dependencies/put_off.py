"""Let packages import later what they rarely need: `python put_off.py <folder of packages>`, in the build.

The listed files import a module of the standard library for a function that nobody calls here. In the layer
the import stands in that function: nothing is missing, and nothing of Python itself changes. It ends with one
line, and the build with it, where a file has changed so that this cannot be done.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

# What each import costs at a cold start: importlib.metadata 12 ms, asyncio 15, ctypes.util 3.
PUT_OFF = {
    "psycopg/pq/misc.py": "ctypes.util",  # looks for a libpq, where the package does not bring its own
    "pydantic/networks.py": "importlib.metadata",  # which version email-validator has
    "pydantic/plugin/_loader.py": "importlib.metadata",  # reads what every package says about itself
    "redis/_parsers/base.py": "asyncio",  # the asynchronous client
    "redis/auth/token_manager.py": "asyncio",
    "redis/event.py": "asyncio",
    "redis/utils.py": "importlib.metadata",  # redis-py's own version
}


def put_off(source: str, module: str) -> str:
    """The source with its import of the module where functions use it. Raises ValueError."""
    tree = ast.parse(source)
    found = [node for node in tree.body if module in _modules(node)]
    if len(found) != 1:
        raise ValueError(f"imports {module} {len(found)} times")
    statement = found[0]
    names = _names(statement)
    typed = {id(part) for node in ast.walk(tree) for part in _annotations(node)}
    uses = {
        id(node): node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in names and id(node) not in typed
    }
    users = [function for function in _functions(tree) if _within(function.body, uses)]
    for at, line in uses.items():
        if not any(at in _within(function.body, uses) for function in users):
            raise ValueError(f"uses {module} in line {line}, as it is loaded")
    lines = source.splitlines(keepends=True)
    text = ast.get_source_segment(source, statement)
    for function in sorted(users, key=lambda user: user.lineno, reverse=True):
        first = _first(function.body, uses)
        lines.insert(first.lineno - 1, f"{' ' * first.col_offset}{text}\n")
    del lines[statement.lineno - 1 : statement.end_lineno]
    names_types = any(
        isinstance(node, ast.Name) and node.id in names and id(node) in typed for node in ast.walk(tree)
    )
    if names_types and "from __future__ import annotations" not in source:
        lines.insert(0, "from __future__ import annotations\n")
    return "".join(lines)


def _first(body: list[ast.stmt], uses: dict[int, int]) -> ast.stmt:
    """The statement of the innermost block with all uses before which the import may stand."""
    using = [statement for statement in body if _within([statement], uses)]
    if len(using) == 1:
        for block in _blocks(using[0]):
            if _within(block, uses) == _within(using, uses):
                return _first(block, uses)
    return using[0]


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks of statements in a statement that is no loop: an import is for once."""
    if isinstance(statement, ast.If | ast.With | ast.Try):
        return [
            getattr(statement, name) for name in ("body", "orelse", "finalbody") if hasattr(statement, name)
        ]
    return []


def _within(body: list[ast.stmt], uses: dict[int, int]) -> set[int]:
    return {id(part) for node in body for part in ast.walk(node)} & uses.keys()


def _modules(node: ast.stmt) -> set[str]:
    """The modules that an import statement loads."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


def _names(statement: ast.stmt) -> set[str]:
    """What an import statement binds."""
    aliases = [node for node in ast.walk(statement) if isinstance(node, ast.alias)]
    return {alias.asname or alias.name.partition(".")[0] for alias in aliases}


def _functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The module's functions and its classes' methods."""
    found: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    bodies: list[ast.AST] = [tree]
    for body in bodies:
        for node in ast.iter_child_nodes(body):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(node)
            else:
                bodies.append(node)
    return found


def _annotations(node: ast.AST) -> list[ast.AST]:
    """The parts of a node that only say of which type something is."""
    given = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [part for annotation in given if annotation for part in ast.walk(annotation)]


def main() -> None:
    """Rewrite the files in the folder."""
    for name, module in PUT_OFF.items():
        path = Path(sys.argv[1], name)
        try:
            changed = f"\n# Changed in this layer: {module} is imported where it is used.\n"
            path.write_text(put_off(path.read_text(), module) + changed)
        except (OSError, ValueError) as error:
            sys.exit(f"put_off.py: {name}: {error}")


if __name__ == "__main__":
    main()

"""Let packages import later what they rarely need: `python put_off.py <folder of packages>`, in the build.

The listed files import a module of the standard library for a function that nobody calls here. In the layer
the import stands in that function, and what a file makes of the module for others is made when they ask for
it: nothing is missing, and nothing of Python itself changes. It ends with one line, and the build with it,
where a file has changed so that this cannot be done.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

# What each import costs at a cold start: importlib.metadata 12 ms, asyncio 15, ctypes.util 3.
PUT_OFF = {
    "psycopg/__init__.py": ".connection_async",  # asyncio
    "psycopg/_acompat.py": "asyncio",
    "psycopg/_conninfo_attempts_async.py": "asyncio",
    "psycopg/_copy_async.py": "._acompat",
    "psycopg/errors.py": "asyncio",  # what a failed statement catches; the first one loads it
    "psycopg/pq/misc.py": "ctypes.util",  # looks for a libpq, where the package does not bring its own
    "psycopg/waiting.py": "asyncio",
    "pydantic/networks.py": "importlib.metadata",  # which version email-validator has
    "pydantic/plugin/_loader.py": "importlib.metadata",  # reads what every package says about itself
    "redis/_parsers/base.py": "asyncio",  # the asynchronous client
    "redis/event.py": "asyncio",
    "redis/utils.py": "importlib.metadata",  # redis-py's own version
}


def put_off(source: str, module: str) -> str:
    """The source with its import of the module where functions use it. Raises ValueError.

    What the file itself makes of the module is made when somebody asks the file for it (PEP 562).
    """
    tree = ast.parse(source)
    conditional = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    statements = [*tree.body, *conditional]
    found = [node for node in statements if module in _modules(node)]
    if len(found) != 1:
        raise ValueError(f"imports {module} {len(found)} times")
    statement = found[0]
    names = _names(statement)
    typed = {id(part) for node in ast.walk(tree) for part in _annotations(node)}
    uses = _uses(tree, names, typed)
    users = [function for function in _functions(tree) if _within(function.body, uses)]
    used = {at for function in users for at in _within(function.body, uses)}
    makers = [node for node in tree.body if _within([node], uses) - used]
    made = {name for node in makers for name in _made(node)} if uses else names
    read = _uses(tree, made, typed) if uses else {}
    elsewhere = read.keys() - {at for node in makers for at in _within([node], read)}
    if elsewhere:
        raise ValueError(f"uses what it makes of {module} in line {read[min(elsewhere)]}")
    lines = source.splitlines(keepends=True)
    text = str(ast.get_source_segment(source, statement))
    edits = [(node.lineno - 1, node.end_lineno or 0, "") for node in makers]
    stays = "" if statement in tree.body else f"{' ' * statement.col_offset}pass\n"
    edits.append((statement.lineno - 1, statement.end_lineno or 0, stays))
    firsts = [_first(function.body, uses) for function in users]
    edits += [(first.lineno - 1, first.lineno - 1, f"{' ' * first.col_offset}{text}\n") for first in firsts]
    for start, end, instead in sorted(edits, reverse=True):
        lines[start:end] = [instead] if instead else []
    if makers or not uses:
        lines.append(_on_demand(sorted(made), [text, *(_made_of(source, node) for node in makers)]))
    named = _uses(tree, names | made, set()).keys()
    if typed.intersection(named) and "from __future__ import annotations" not in source:
        lines.insert(0, "from __future__ import annotations\n")
    return "".join(lines)


def _on_demand(names: list[str], statements: list[str]) -> str:
    body = textwrap.indent("\n".join(statements), " " * 8)
    return f"""

def __getattr__(name):
    if name in {names}:
        global {", ".join(names)}
{body}
        return globals()[name]
    raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
"""


def _made_of(source: str, node: ast.stmt) -> str:
    """The statement's source; a global name may have no type."""
    if isinstance(node, ast.AnnAssign):
        return f"{ast.unparse(node.target)} = {ast.unparse(node.value) if node.value else None}"
    return str(ast.get_source_segment(source, node))


def _made(node: ast.stmt) -> list[str]:
    """The names that a statement gives a value to. Raises ValueError for one of another kind."""
    if isinstance(node, ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if not names:
        raise ValueError(f"uses the import in line {node.lineno}, as it is loaded")
    return names


def _uses(tree: ast.Module, names: set[str], typed: set[int]) -> dict[int, int]:
    """Where a name is read, but for types: the node's id, and its line."""
    return {
        id(node): node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and node.id in names
        and id(node) not in typed
    }


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
    if isinstance(node, ast.ImportFrom) and node.level:
        return {"." * node.level + str(node.module)}
    if isinstance(node, ast.ImportFrom):
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

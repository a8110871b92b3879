"""What `sam build` makes: lean, for the right processor, compiled; no function loads what it does not need.

All of it is looked at as Lambda would see it: by Python 3.13, with nothing but the artifacts on its path.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest

from shared.accounts import passwords
from shared.accounts.sessions import starts
from shared.products import list_pages, read_through
from tests.calls import NEEDING_A_CALLER, token
from tests.hostile_catalog import HostileCatalog

ROOT = Path(__file__).resolve().parents[3]
DEPENDENCIES = ROOT / "layers" / "dependencies"
LAYERS = ("DependenciesLayer", "SharedLayer")
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
HERE, ELSEWHERE = ("arm64", "x86_64") if platform.machine() in {"arm64", "aarch64"} else ("x86_64", "arm64")
ELF_MACHINES = {"x86_64": 62, "arm64": 183}  # EM_X86_64 and EM_AARCH64 of elf.h

# ── The import budget ─────────────────────────────────────────────────────────────────────────────────────
# Packages that a function loads to answer a request that succeeds, by its kind. None loads boto3, botocore
# or, for a plain e-mail, email_validator. A function that differs has its own row: for a cached product that
# of a hit, for what events and schedules invoke that of loading it.

_ROUTE = {"powertools", "pydantic"}
_CALLER = _ROUTE | {"psycopg", "jwt"}
_PUBLIC = _ROUTE | {"psycopg"}
EXCEPTIONS = {
    "get_product": {"redis"},
    "list_products": {"redis"},
    "update_client": _CALLER | {"redis"},
    "end_sessions": _CALLER | {"redis"},
    "delete_client": _CALLER | {"redis"},
    "create_client": _PUBLIC | {"redis", "argon2"},
    "login": _PUBLIC | {"redis", "jwt", "argon2"},
    "refresh_token": _PUBLIC | {"jwt"},
    "list_shared_favorites": _PUBLIC | {"redis"},  # it counts the requests of an address
    "get_health": _PUBLIC | {"redis", "urllib3"},
    "get_docs": _ROUTE,
    "refresh_product_cache": {"pydantic", "psycopg", "redis", "urllib3"},
    "warm_product_cache": {"pydantic", "psycopg", "redis", "urllib3"},
    "publish_events": {"psycopg"},
    "send_alerts": {"psycopg"},
    "run_migrations": {"pydantic", "psycopg"},
    "rotate_access_token_keys": set[str](),
    "close_default_group": set[str](),
    "try_new_version": set[str](),
}
ALLOWED = {
    function: EXCEPTIONS.get(function, _CALLER if function in NEEDING_A_CALLER else _PUBLIC)
    for function in FUNCTIONS
}
ON_EVENTS = (
    *("refresh_product_cache", "warm_product_cache", "publish_events", "send_alerts"),
    *("run_migrations", "rotate_access_token_keys", "close_default_group", "try_new_version"),
)
WATCHED = {"boto3", "botocore", "email_validator"}.union(*ALLOWED.values())

# What a process does to be looked at: serve one event, and say what it has loaded.
INVOKE = """
import importlib, json, sys
event = json.load(sys.stdin)
handler = importlib.import_module(f"functions.{sys.argv[1]}.handler").lambda_handler
status = handler(event, None)["statusCode"] if event else None
loaded = {name.partition(".")[0].removeprefix("aws_lambda_") for name in sys.modules}
from shared.platform.lean_imports import LEAN, LeanModule
lean = {name: type(sys.modules[name]) is LeanModule for name in LEAN if name in sys.modules}
print()
print(json.dumps({"status": status, "loaded": sorted(loaded), "lean": lean}))
"""

# The bytecode of each source is there, of this Python, never to be checked against a source's time (flags 1),
# made from the source that lies beside it, and names the place where Lambda puts it.
CHECK_BYTECODE = """
import importlib.util, marshal, sys
from pathlib import Path
root, place = Path(sys.argv[1]), sys.argv[2]
sources = list(root.rglob("*.py"))
for source in sources:
    compiled = Path(importlib.util.cache_from_source(source))
    data = compiled.read_bytes() if compiled.exists() else b""
    source_hash = importlib.util.source_hash(source.read_bytes())
    expected = importlib.util.MAGIC_NUMBER + bytes([1, 0, 0, 0]) + source_hash
    if data[:16] != expected or marshal.loads(data[16:]).co_filename != f"{place}/{source.relative_to(root)}":
        print(source.relative_to(root))
if not sources:
    print("no modules")
"""


class Built(NamedTuple):
    """The artifacts for this machine's processor, and a Python 3.13 to look at them with."""

    folder: Path
    python: str

    def run(self, *arguments: str, path: str = "", text: str = "") -> str:
        """What Python prints, without a site-packages of its own and without writing bytecode."""
        env = os.environ | {"PYTHONPATH": path, "AWS_LAMBDA_FUNCTION_NAME": "a_function"}
        ran = _run(self.python, "-S", "-B", *arguments, env=env, text=text)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture(scope="session")
def python313() -> str:
    """The Python 3.13 that builds."""
    found = _run("/bin/sh", DEPENDENCIES / "python313")
    if found.returncode != 0:
        pytest.skip(found.stderr.strip())
    return found.stdout.strip()


@pytest.fixture(scope="session")
def built(python313: str, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All of `sam build`, for this machine's processor."""
    folder = tmp_path_factory.mktemp("build")
    _sam_build(folder, HERE)
    return Built(folder, python313)


@pytest.fixture(scope="session")
def built_elsewhere(python313: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer of dependencies for the other processor."""
    assert python313
    folder = tmp_path_factory.mktemp("build-elsewhere")
    _sam_build(folder, ELSEWHERE, "DependenciesLayer")
    return folder / "DependenciesLayer"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PATH": "/nowhere", "PYTHON313": ""}, "Python 3.13 with pip is needed"),
        ({"PYTHON313": "/bin/false"}, "PYTHON313=/bin/false is no working Python 3.13 with pip."),
    ],
)
def test_a_missing_or_broken_python_ends_the_build_with_one_line(
    variables: dict[str, str], sentence: str
) -> None:
    found = _run("/bin/sh", DEPENDENCIES / "python313", env={**os.environ, **variables})
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith(sentence)
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("folder", "target"), [("functions", "GetProductFunction"), ("shared", "SharedLayer")]
)
def test_a_folder_may_have_any_sign_in_its_path(
    python313: str, tmp_path: Path, folder: str, target: str
) -> None:
    assert python313
    root = tmp_path / "a $b c"
    for part in (folder, "layers/dependencies"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    made = _run(  # as SAM CLI does
        *("make", "--makefile", root / folder / "Makefile", f"build-{target}"),
        cwd=root / folder / ("get_product" if folder == "functions" else "."),
        env=os.environ | {"ARTIFACTS_DIR": str(root / "out")},
    )
    assert made.returncode == 0, made.stderr
    assert list((root / "out").rglob("*.cpython-313.pyc"))
    assert sorted(path.name for path in root.iterdir()) == sorted({folder, "layers", "out"})


@pytest.mark.parametrize("artifact", [*LAYERS, *(f"functions.{function}" for function in FUNCTIONS)])
def test_every_module_has_bytecode_that_lambda_loads(built: Built, artifact: str) -> None:
    function = artifact.removeprefix("functions.")
    folder, place = (artifact, "/opt") if artifact in LAYERS else (_resource(function), "/var/task")
    assert built.run("-c", CHECK_BYTECODE, str(built.folder / folder), place) == ""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_its_folder_under_its_whole_name(built: Built, function: str) -> None:
    artifact = built.folder / _resource(function)
    shipped = {path.relative_to(artifact) for path in artifact.rglob("*") if path.is_file()}
    sources = (ROOT / "functions" / function).rglob("*")
    assert {path for path in shipped if path.suffix != ".pyc"} == {
        path.relative_to(ROOT) for path in sources if path.is_file() and path.suffix != ".pyc"
    }


def test_the_dependencies_are_for_the_processor_that_the_parameter_names(
    built: Built, built_elsewhere: Path
) -> None:
    assert _processors(built.folder / "DependenciesLayer") == {ELF_MACHINES[HERE]}
    assert _processors(built_elsewhere) == {ELF_MACHINES[ELSEWHERE]}


def test_the_dependencies_stay_below_40_mb(built: Built, built_elsewhere: Path) -> None:
    for layer in (built.folder / "DependenciesLayer", built_elsewhere):
        assert sum(path.stat().st_size for path in layer.rglob("*") if path.is_file()) < 40e6


def test_nothing_is_shipped_that_only_tests_and_type_checkers_read(built: Built) -> None:
    for folder in (child for child in built.folder.iterdir() if child.is_dir()):
        shipped = [path.relative_to(folder) for path in folder.rglob("*")]
        assert shipped
        assert [
            str(path)
            for path in shipped
            if path.suffix in {".pyi", ".pxd", ".h"}
            or path.name in {"py.typed", "conftest.py", "Makefile", "bin"}
            or {"tests", "test", "stubs"} & set(path.parts)
        ] == []


def test_the_authorities_that_connections_trust_are_shipped(built: Built) -> None:
    shipped = built.folder / "SharedLayer" / "python"
    sources = [*(ROOT / "shared").rglob("*.pem")]
    assert {path.name for path in sources} >= {"amazon_roots.pem", "eu-west-1.pem"}
    for source in sources:
        assert (shipped / source.relative_to(ROOT)).read_bytes() == source.read_bytes()


def test_the_version_of_a_package_can_still_be_read(built: Built) -> None:
    versions = "import importlib.metadata as m; print(*(m.version(n) for n in ('pydantic', 'redis')))"
    lock = (DEPENDENCIES / "requirements.txt").read_text()
    for name, version in zip(
        ("pydantic", "redis"), built.run("-c", versions, path=_layer_path(built)).split(), strict=True
    ):
        assert f"\n{name}=={version} " in lock


@pytest.mark.parametrize("function", sorted({*ALLOWED} - {*ON_EVENTS}))
def test_a_route_loads_the_packages_of_its_budget(
    built: Built, catalog: HostileCatalog, db: psycopg.Connection, function: str
) -> None:
    assert catalog.url
    answer = _invoke(built, function, _event(function, db))
    assert answer["status"] in {200, 201, 204}
    assert WATCHED.intersection(answer["loaded"]) == ALLOWED[function]
    assert [name for name, is_lean in answer["lean"].items() if not is_lean] == []


@pytest.mark.parametrize("function", ON_EVENTS)
def test_a_function_on_events_loads_the_packages_of_its_budget(built: Built, function: str) -> None:
    assert WATCHED.intersection(_invoke(built, function, None)["loaded"]) == ALLOWED[function]


def test_every_function_has_a_budget() -> None:
    assert EXCEPTIONS.keys() <= {*FUNCTIONS}


def _resource(function: str) -> str:
    return f"{function.title().replace('_', '')}Function"


def _sam_build(folder: Path, architecture: str, *resource: str) -> None:
    sam = Path(sys.executable).with_name("sam")
    built = _run(
        *(str(sam), "build", *resource, "--no-cached", "--parallel", "--build-dir", str(folder)),
        *("--parameter-overrides", f"Architecture={architecture}"),
        env=os.environ | {"AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"},
    )
    assert built.returncode == 0, built.stderr[-2000:]


def _run(
    *command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] = os.environ, text: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the project's own commands
        command, cwd=cwd, env=env, input=text, check=False, capture_output=True, text=True
    )


def _processors(layer: Path) -> set[int]:
    return {int.from_bytes(path.read_bytes()[18:20], "little") for path in layer.rglob("*.so*")}


def _layer_path(built: Built) -> str:
    return os.pathsep.join(str(built.folder / layer / "python") for layer in LAYERS)


def _invoke(built: Built, function: str, event: dict[str, Any] | None) -> Any:
    artifact = built.folder / _resource(function)
    path = os.pathsep.join([str(artifact), _layer_path(built)])
    return json.loads(built.run("-c", INVOKE, function, path=path, text=json.dumps(event)).splitlines()[-1])


def _event(function: str, db: psycopg.Connection) -> dict[str, Any]:
    """The function's sample event, in a world where it succeeds."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{function}.json").read_text())
    sort = event["queryStringParameters"]["sort"] if function == "list_products" else None
    list_pages.page(limit=20, cursor=None, category=None, sort=sort)
    if function == "get_product":
        read_through.detail(event["pathParameters"]["product_id"])
    if function == "create_client":
        return event
    password = json.loads(event["body"])["password"] if function == "login" else "a password"
    row = db.execute(
        """
        INSERT INTO clients (name, email, email_key, password_hash, role)
        VALUES ('Ana', 'ana@example.com', 'ana@example.com', %s, %s) RETURNING client_id
        """,
        # The last admin could not be removed.
        [passwords.hash_password(password), "client" if function == "delete_client" else "admin"],
    ).fetchone()
    assert row is not None
    client_id: UUID = row[0]
    if function in {"get_favorite", "list_favorites", "remove_favorite", "update_favorite"}:
        db.execute(
            "INSERT INTO favorites (client_id, product_id, price_when_favorited) VALUES (%s, '7', 1)",
            [client_id],
        )
    if function in {"list_shared_favorites", "remove_share"}:
        names = {"share_id": str(UUID(int=1)), "token": "a token", **event["pathParameters"]}
        db.execute(
            "INSERT INTO shares (share_id, client_id, token) VALUES (%s, %s, %s)",
            [names["share_id"], client_id, names["token"]],
        )
    if "authorization" in event["headers"]:
        event["headers"]["authorization"] = token(client_id, "admin")
    if "pathParameters" in event and "client_id" in event["pathParameters"]:
        event["pathParameters"]["client_id"] = "me"
    if function in {"refresh_token", "logout"}:
        tokens = starts.log_in("ana@example.com", password)
        event["body"] = json.dumps({"refresh_token": tokens.refresh_token})
    return event

"""The migrations as CloudFormation runs them: its events, a real database, and where its answers go."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import psycopg
import pytest

from functions.run_migrations import handler, migrations
from functions.run_migrations.migrations import Migration
from local.servers.http_server import HttpServer
from shared.products import read_through
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration.conftest import NO_DATABASE

NEWEST = f"{len(migrations.load()):04}"


STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/favorites/1"


class CloudFormation:
    """Takes the answers at the address that its events name."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.content_types: list[str | None] = []
        self.refuses = False
        self.server = HttpServer(self._handler)

    def deploy(self, request: str = "Create", **more: Any) -> dict[str, Any]:
        """Invoke the function; what it answered last."""
        event = {
            "RequestType": request,
            "ResponseURL": f"{self.server.url}/answers?signature=x",
            "StackId": STACK,
            "RequestId": "request-1",
            "LogicalResourceId": "Migrations",
            "ResourceType": "AWS::CloudFormation::CustomResource",
            "ResourceProperties": {"Code": "1"},
            **more,
        }
        handler.lambda_handler(event, None)
        return self.answers[-1]

    def _handler(self, *arguments: Any) -> BaseHTTPRequestHandler:
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not cloud.refuses:
                    cloud.answers.append(json.loads(body))
                    cloud.content_types.append(self.headers["Content-Type"])
                self.send_response(403 if cloud.refuses else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler(*arguments)


@pytest.fixture
def cloud(environment: pytest.MonkeyPatch) -> Iterator[CloudFormation]:
    environment.delenv("ADMIN_EMAIL", raising=False)
    cloud = CloudFormation()
    cloud.server.start()
    yield cloud
    cloud.server.stop()


def test_a_deploy_is_told_that_the_schema_is_there(cloud: CloudFormation, catalog: HostileCatalog) -> None:
    catalog.answer("/products", Answer.json([product(7), product(8)]))
    assert cloud.deploy() == {
        "Status": "SUCCESS",
        "Reason": "Done",
        "PhysicalResourceId": "schema",
        "StackId": STACK,
        "RequestId": "request-1",
        "LogicalResourceId": "Migrations",
        "Data": {"SchemaVersion": NEWEST, "Products": "2 read from the catalog"},
    }
    assert len(cloud.answers) == 1
    assert cloud.content_types == [""]  # the address is signed for none


def test_the_first_deploy_reads_the_catalog_and_the_next_finds_it_read(
    cloud: CloudFormation, catalog: HostileCatalog
) -> None:
    cloud.deploy()
    catalog.answer_all(Answer.reset())
    assert read_through.detail("7").state == "hit"
    assert cloud.deploy("Update")["Data"]["Products"] == "there"


def test_a_catalog_that_refuses_does_not_fail_the_deploy_and_is_told_of(
    cloud: CloudFormation, catalog: HostileCatalog
) -> None:
    catalog.answer("/products", Answer.status(403))
    answer = cloud.deploy()
    assert (answer["Status"], answer["Data"]["SchemaVersion"]) == ("SUCCESS", NEWEST)
    assert answer["Data"]["Products"].startswith("none yet: CatalogUnavailable: http://")
    assert answer["Data"]["Products"].endswith("it answered with status 403: see CATALOG_AUTHORIZATION")


def test_an_update_keeps_the_id_of_the_resource(cloud: CloudFormation) -> None:
    answer = cloud.deploy("Update", PhysicalResourceId="schema-of-old")
    assert answer["PhysicalResourceId"] == "schema-of-old"


def test_a_migration_that_fails_fails_the_deploy_and_says_why(
    cloud: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Migration(len(migrations.load()) + 1, "9999_broken.sql", "CREATE TABEL x ()")
    all_of_them = [*migrations.load(), broken]
    monkeypatch.setattr(migrations, "load", lambda: all_of_them)
    answer = cloud.deploy("Update")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith('SyntaxError: syntax error at or near "TABEL"')


@pytest.mark.parametrize("step", ["load", "run"])
def test_whatever_is_raised_fails_the_deploy_with_a_reason_that_fits_and_quotes_no_data(
    cloud: CloudFormation, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> list[str]:
        raise ValueError("\N{GRINNING FACE}" * 2_000 + "\nDETAIL: Key (email)=(ana@example.com) is there.")

    monkeypatch.setattr(migrations, step, fail)
    answer = cloud.deploy()
    assert answer["Status"] == "FAILED"
    assert len(json.dumps(answer)) <= 4_096
    assert "ana@example.com" not in answer["Reason"]


def test_a_database_that_stays_away_fails_the_deploy_and_not_the_removal(
    cloud: CloudFormation, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DATABASE_URL", NO_DATABASE)
    environment.setattr(handler, "WAIT", 0)
    answer = cloud.deploy()
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("DatabaseUnavailable: not connected: ")
    assert cloud.deploy("Delete", PhysicalResourceId="schema")["Status"] == "SUCCESS"


def test_a_deploy_that_is_taken_back_leaves_the_newer_schema_and_succeeds(
    cloud: CloudFormation, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = migrations.load()[:-1]
    monkeypatch.setattr(migrations, "load", lambda: older)
    assert cloud.deploy("Update")["Status"] == "SUCCESS"
    recorded = db.execute("SELECT max(number) FROM schema_migrations").fetchone()
    assert recorded == (len(older) + 1,)


def test_an_answer_that_is_refused_is_an_error_that_lambda_sees(cloud: CloudFormation) -> None:
    cloud.refuses = True
    with pytest.raises(OSError, match="403"):
        cloud.deploy()

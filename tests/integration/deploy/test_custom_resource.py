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

NEWEST = f"{len(migrations.load()):04}"


class CloudFormation:
    """Takes the answers at the address that its events name."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.content_types: list[str | None] = []
        self.refusals = 0
        self.server = HttpServer(self._handler)

    def event(self, request: str, **more: Any) -> dict[str, Any]:
        return {
            "RequestType": request,
            "ResponseURL": f"{self.server.url}/answers?signature=x",
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/favorites/1",
            "RequestId": "request-1",
            "LogicalResourceId": "Migrations",
            "ResourceType": "AWS::CloudFormation::CustomResource",
            "ResourceProperties": {"Code": "1"},
            **more,
        }

    def _handler(self, *arguments: Any) -> BaseHTTPRequestHandler:
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if cloud.refusals:
                    cloud.refusals -= 1
                    self.send_response(403)
                else:
                    cloud.answers.append(json.loads(body))
                    cloud.content_types.append(self.headers["Content-Type"])
                    self.send_response(200)
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
    handler.lambda_handler(cloud.event("Create"), None)
    (answer,) = cloud.answers
    assert answer == {
        "Status": "SUCCESS",
        "Reason": "Done",
        "PhysicalResourceId": "schema",
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/favorites/1",
        "RequestId": "request-1",
        "LogicalResourceId": "Migrations",
        "Data": {"SchemaVersion": NEWEST, "Products": "2 read from the catalog"},
    }
    assert cloud.content_types == [""]  # the address is signed for none


def test_the_first_deploy_reads_the_catalog_and_the_next_finds_it_read(
    cloud: CloudFormation, catalog: HostileCatalog
) -> None:
    handler.lambda_handler(cloud.event("Create"), None)
    catalog.answer_all(Answer.reset())
    assert read_through.detail("7").state == "hit"
    handler.lambda_handler(cloud.event("Update"), None)
    assert cloud.answers[1]["Data"]["Products"] == "there"


def test_a_catalog_that_refuses_does_not_fail_the_deploy_and_is_told_of(
    cloud: CloudFormation, catalog: HostileCatalog
) -> None:
    catalog.answer("/products", Answer.status(403))
    handler.lambda_handler(cloud.event("Create"), None)
    (answer,) = cloud.answers
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["SchemaVersion"] == NEWEST
    assert answer["Data"]["Products"].startswith("none yet: CatalogUnavailable: http://")
    assert answer["Data"]["Products"].endswith("it answered with status 403: see CATALOG_AUTHORIZATION")


def test_an_update_keeps_the_resource_what_it_was(cloud: CloudFormation) -> None:
    handler.lambda_handler(cloud.event("Update", PhysicalResourceId="schema-of-old"), None)
    assert cloud.answers[0]["PhysicalResourceId"] == "schema-of-old"


def test_a_migration_that_fails_fails_the_deploy_and_says_why(
    cloud: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Migration(len(migrations.load()) + 1, "9999_broken.sql", "CREATE TABEL x ()")
    all_of_them = [*migrations.load(), broken]
    monkeypatch.setattr(migrations, "load", lambda: all_of_them)
    handler.lambda_handler(cloud.event("Update"), None)
    (answer,) = cloud.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith('SyntaxError: syntax error at or near "TABEL"')


def test_the_reason_fits_and_quotes_no_data(cloud: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> list[str]:
        raise ValueError("\N{GRINNING FACE}" * 2_000 + "\nDETAIL: Key (email)=(ana@example.com) is there.")

    monkeypatch.setattr(migrations, "run", fail)
    handler.lambda_handler(cloud.event("Update"), None)
    (answer,) = cloud.answers
    assert answer["Status"] == "FAILED"
    assert len(json.dumps(answer)) <= 4_096
    assert "ana@example.com" not in answer["Reason"]


def test_a_database_that_stays_away_fails_the_deploy(
    cloud: CloudFormation, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    environment.setattr(handler, "WAIT", 0)
    handler.lambda_handler(cloud.event("Create"), None)
    assert cloud.answers[0]["Status"] == "FAILED"
    assert cloud.answers[0]["Reason"].startswith("DatabaseUnavailable: not connected: ")


def test_files_that_cannot_be_read_are_told_too(
    cloud: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> list[Migration]:
        raise migrations.MigrationError("x.sql is not named like 0001_what_it_does.sql")

    monkeypatch.setattr(migrations, "load", load)
    handler.lambda_handler(cloud.event("Create"), None)
    assert cloud.answers[0]["Status"] == "FAILED"


def test_a_deploy_that_is_taken_back_leaves_the_newer_schema_and_succeeds(
    cloud: CloudFormation, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = migrations.load()[:-1]
    monkeypatch.setattr(migrations, "load", lambda: older)
    handler.lambda_handler(cloud.event("Update"), None)
    assert cloud.answers[0]["Status"] == "SUCCESS"
    recorded = db.execute("SELECT max(number) FROM schema_migrations").fetchone()
    assert recorded == (len(older) + 1,)


def test_removing_the_stack_migrates_nothing(cloud: CloudFormation, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    handler.lambda_handler(cloud.event("Delete", PhysicalResourceId="schema"), None)
    assert cloud.answers[0]["Status"] == "SUCCESS"


def test_an_answer_that_is_not_taken_is_an_error_that_lambda_sees(cloud: CloudFormation) -> None:
    cloud.refusals = 1
    with pytest.raises(OSError, match="403"):
        handler.lambda_handler(cloud.event("Create"), None)

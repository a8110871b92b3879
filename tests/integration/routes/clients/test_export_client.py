"""GET /clients/{client_id}/export"""

from shared.accounts.access_tokens import Caller
from tests.integration.accounts import ask


def test_an_export_is_a_file_that_nobody_else_may_keep(ana: Caller) -> None:
    answer = ask("export_client", ana)
    assert answer.status == 200
    assert [client["client_id"] for client in answer.json["clients"]] == [str(ana.client_id)]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="favorites-export.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"

"""No log of the run has a password, a token or an e-mail in it: functions, PostgreSQL, Valkey."""

import httpx

from local.stack import Stack
from tests.e2e.api.service import PASSWORD, Service, secrets_used

NEW_PASSWORD = "a password that no other test has"


def test_passwords_tokens_and_e_mails_of_this_run_are_in_no_log(stack: Stack) -> None:
    """It runs last (conftest.py), and does itself what a session does, for a run of this test alone."""
    service = Service(stack.url, stack.settings["ADMIN_EMAIL"], stack.admin_password, access_token_keys=None)
    customer = service.register()
    with customer.http as http, service.visitor() as visitor:
        visitor.post("/auth/login", json={"email": customer.email, "password": "a wrong guess at it"})
        visitor.post("/auth/login", json={"email": customer.email, "password": ["a list of it"]})
        refreshed = visitor.post("/auth/refresh", json={"refresh_token": customer.tokens["refresh_token"]})
        visitor.post("/auth/refresh", json={"refresh_token": refreshed.json()["refresh_token"]})
        visitor.post("/auth/refresh", json={"refresh_token": customer.tokens["refresh_token"]})  # a thief's
        taken = {"email": stack.settings["ADMIN_EMAIL"], "current_password": PASSWORD}
        assert http.patch("/clients/me", json=taken).status_code == 409
        http.patch("/clients/me", json={"password": NEW_PASSWORD, "current_password": "not this one"})
        http.patch("/clients/me", json={"password": NEW_PASSWORD, "current_password": PASSWORD})
        assert http.get("/clients/me").status_code == 401
        service.log_in(customer.email, NEW_PASSWORD)
    _fail_in_the_database(stack, service)
    files = [path for path in stack._data.rglob("*") if path.is_file() and "log" in path.name.lower()]
    logs = {path: path.read_text(errors="replace") for path in files}
    assert any(text.strip() for text in logs.values())
    used = {*secrets_used, customer.email, PASSWORD, NEW_PASSWORD, stack.admin_password}
    used |= {stack.settings["ADMIN_EMAIL"], stack.settings["ACCESS_TOKEN_KEYS"]}
    assert len(used) > 10
    assert [(path.name, word[:6]) for path, text in logs.items() for word in used if word in text] == []


def _fail_in_the_database(stack: Stack, service: Service) -> None:
    """Errors are what logs are for: a statement that is given up may be written with its parameters."""
    assert stack.backing.postgres is not None
    stack.backing.postgres.stop()
    try:
        with service.visitor() as visitor:
            answer: httpx.Response = visitor.post(
                "/auth/login", json={"email": service.admin_email, "password": service.admin_password}
            )
            assert answer.status_code == 503
    finally:
        stack.backing.postgres.start()

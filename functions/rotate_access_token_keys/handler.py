"""Renews the keys that sign access tokens, every 30 days; Secrets Manager invokes it."""

from typing import Any

from shared.accounts import key_rotation


def lambda_handler(event: dict[str, Any], _context: Any) -> None:
    """Do one of the four steps of a rotation.

    Raises what went wrong; Secrets Manager then leaves the keys as they were, and tries again.
    """
    key_rotation.do_step(event["Step"], event["SecretId"], event["ClientRequestToken"])

"""Renews the keys of access tokens every 30 days, for Secrets Manager; reports their age every day."""

from typing import Any

from shared.accounts import key_rotation


def lambda_handler(event: dict[str, Any], _context: Any) -> None:
    """Do one of the four steps of a rotation, or report the age of the keys if the event names no step.

    After an exception, Secrets Manager keeps the keys and tries again.
    """
    if "Step" not in event:
        key_rotation.report_age(event["SecretId"])
        return
    key_rotation.do_step(event["Step"], event["SecretId"], event["ClientRequestToken"])

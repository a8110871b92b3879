"""Renews the keys that sign access tokens, every 30 days, for Secrets Manager; tells their age every day."""

from typing import Any

from shared.accounts import key_rotation


def lambda_handler(event: dict[str, Any], _context: Any) -> None:
    """Do one of the four steps of a rotation, or tell how old the keys are where the event names no step.

    Raises what went wrong; Secrets Manager then leaves the keys as they were, and tries again.
    """
    if "Step" not in event:
        key_rotation.report_age(event["SecretId"])
        return
    key_rotation.do_step(event["Step"], event["SecretId"], event["ClientRequestToken"])

"""The structured log (JSON lines), loaded with the first line."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger


@cache
def logger() -> Logger:
    """The environment's logger; service and level come from POWERTOOLS_SERVICE_NAME and …_LOG_LEVEL."""
    from aws_lambda_powertools.logging import Logger  # a cached product needs no log

    return Logger(utc=True, use_rfc3339=True)


def debugs() -> bool:
    """Whether DEBUG lines are written; if not, the logger (14 ms) need not be loaded for them."""
    return os.environ.get("POWERTOOLS_LOG_LEVEL", "").upper() == "DEBUG"

"""What an answer from the database is compared with: the same SQL through psycopg, and the rows as JSON."""

import json
import os
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row

connection = psycopg.connect(
    os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=None, row_factory=dict_row
)


def lambda_handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    for text, parameters in event["statements"]:
        rows = connection.execute(cast("LiteralString", text), parameters).fetchall()
    body = json.dumps(rows, default=str)
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": body}

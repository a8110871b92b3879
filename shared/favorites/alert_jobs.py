"""Sends the alerts that changes of products have left as jobs: events of up to 500 recipients, in the outbox.

A page of recipients, their `fired_at`, its event and the job's progress are one transaction: a run that is
killed loses nothing and sends nothing twice. Jobs of one product follow each other in the order of its
changes. Of several products, the job with the fewest pages sent goes first, so that none waits behind a
product with millions of alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString

from shared.platform import database, deadlines, metrics

RECIPIENTS = 500  # of an event at most: about 65 kB, where the bus takes 256 kB
IDLE_JOBS = 1_000  # jobs of products without alerts that one transaction deletes
PAGE_SECONDS = 2.0  # with less time left, no page is begun

_LOCK = 4_242_003  # beside those of the migrations and the relay


@dataclass(slots=True)
class Sent:
    """What a run did: `events` written to the outbox, with `recipients`."""

    events: int = 0
    recipients: int = 0


def send() -> Sent:
    """Send the alerts of all jobs, as long as there is time (`deadlines`). Raises DatabaseUnavailable."""
    sent = Sent()
    _measure_lag()
    while deadlines.left(PAGE_SECONDS) >= PAGE_SECONDS:
        if not database.transaction(partial(_send_page, sent)):
            break
    return sent


def _measure_lag() -> None:
    row = database.run(
        lambda current: current.execute(
            "SELECT extract(epoch FROM now() - min(created_at))::float AS age FROM alert_jobs"
        ).fetchone(),
        idempotent=True,
    )
    metrics.put({"AlertLag": ((row and row["age"]) or 0.0, "Seconds")})


def _send_page(sent: Sent, current: database.Connection) -> bool:
    """Send one page of the next job; return whether there may be another."""
    lock = current.execute("SELECT pg_try_advisory_xact_lock(%(lock)s) AS held", {"lock": _LOCK}).fetchone()
    if not lock or not lock["held"]:
        return False  # another run is under way; what it no longer sees waits for the schedule
    current.execute(_DELETE_IDLE, {"limit": IDLE_JOBS})
    job = current.execute(_NEXT).fetchone()
    if job is None:
        return False
    query = _PRICE_PAGE if job["kind"] == "price" else _AVAILABLE_PAGE
    page = current.execute(query, job | {"limit": RECIPIENTS}).fetchone()
    assert page is not None  # noqa: S101 — an aggregate has one row
    sent.recipients += page["recipients"]
    sent.events += page["recipients"] > 0
    progress: dict[str, Any] = {"job_id": job["job_id"], **page}
    current.execute(_ADVANCE if page["looked_at"] == RECIPIENTS else _FINISH, progress)
    return True


# Alerts that concern a job were committed before it: both lock the product's row.
_DELETE_IDLE: LiteralString = """
DELETE FROM alert_jobs
 USING (SELECT job_id FROM alert_jobs ORDER BY pages, job_id LIMIT %(limit)s) AS next
 WHERE alert_jobs.job_id = next.job_id
   AND NOT EXISTS (SELECT FROM favorite_alerts
                    WHERE favorite_alerts.product_id = alert_jobs.product_id AND kind IS NOT NULL)
"""

_NEXT: LiteralString = """
SELECT job_id, product_id, kind, old_price, new_price, currency, version, after_threshold, after_client
  FROM alert_jobs
 WHERE NOT EXISTS (SELECT FROM alert_jobs AS earlier
                    WHERE earlier.product_id = alert_jobs.product_id AND earlier.job_id < alert_jobs.job_id)
 ORDER BY pages, job_id
 LIMIT 1
"""

_FINISH: LiteralString = "DELETE FROM alert_jobs WHERE job_id = %(job_id)s"

_ADVANCE: LiteralString = """
UPDATE alert_jobs
   SET pages = pages + 1, after_threshold = %(last_threshold)s, after_client = %(last_client)s
 WHERE job_id = %(job_id)s
"""


def _page(concerned: LiteralString) -> LiteralString:
    """The statement that looks at the next alerts `concerned` by a job, and fires those that are due.

    It reads a bounded number of them in the order of the index, also where none is due: very many may have
    fired less than a day ago. It returns how many it `looked_at` and fired, and where the last one stands.
    """
    return f"""
    WITH next AS MATERIALIZED (
        SELECT client_id, product_id, threshold, row_number() OVER () AS place
          FROM (SELECT client_id, product_id, threshold
                  FROM favorite_alerts
                 WHERE product_id = %(product_id)s AND kind IS NOT NULL AND {concerned}
                 ORDER BY threshold, client_id
                 LIMIT %(limit)s) AS in_order
    ), due AS (
        SELECT client_id, product_id, alerts.threshold, place
          FROM next
          JOIN favorite_alerts AS alerts USING (client_id, product_id)
         WHERE kind IS NOT NULL AND since_version < %(version)s
           AND (fired_at IS NULL OR fired_at <= now() - interval '24 hours')
           AND (alerts.threshold IS NULL OR currency IS NOT DISTINCT FROM %(currency)s)
           AND alerts.threshold IS NOT DISTINCT FROM next.threshold
         ORDER BY place
           FOR UPDATE OF alerts
    ), fired AS (
        UPDATE favorite_alerts
           SET fired_at = now()
          FROM due
         WHERE favorite_alerts.client_id = due.client_id AND favorite_alerts.product_id = due.product_id
    ), emitted AS (
        INSERT INTO outbox (stream, detail_type, detail)
        SELECT 'alerts:' || product_id, 'FavoriteAlerts', json_build_object(
                   'kind', %(kind)s::text,
                   'product', json_build_object('product_id', product_id, 'title', title,
                                                'category', category, 'image', image),
                   'old_price', %(old_price)s::numeric,
                   'new_price', %(new_price)s::numeric,
                   'currency', %(currency)s::text,
                   'recipients', recipients,
                   'version', %(version)s::bigint)
          FROM (SELECT product_id, json_agg(json_build_object(
                           'client_id', client_id, 'price_when_favorited', price_when_favorited,
                           'threshold', threshold) ORDER BY place) AS recipients
                  FROM due
                  JOIN favorites USING (client_id, product_id)
                 GROUP BY product_id) AS by_product
          JOIN products USING (product_id)
    )
    SELECT count(*) AS looked_at, (SELECT count(*) FROM due) AS recipients,
           (array_agg(threshold ORDER BY place DESC))[1] AS last_threshold,
           (array_agg(client_id ORDER BY place DESC))[1] AS last_client
      FROM next
    """  # noqa: S608 — the parts are constants of this module


_PRICE_PAGE: LiteralString = _page("""
    threshold >= %(new_price)s AND threshold < %(old_price)s
    AND (%(after_client)s::uuid IS NULL
         OR (threshold, client_id) > (%(after_threshold)s::numeric, %(after_client)s::uuid))
    """)

_AVAILABLE_PAGE: LiteralString = _page(
    "threshold IS NULL AND (%(after_client)s::uuid IS NULL OR client_id > %(after_client)s::uuid)"
)
